//! holdfast-s3
