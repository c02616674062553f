//! holdfast-tar
