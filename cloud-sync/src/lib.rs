//! holdfast-cloud-sync
