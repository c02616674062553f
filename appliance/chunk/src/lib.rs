//! holdfast-chunk
