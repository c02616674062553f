//! holdfast-web
