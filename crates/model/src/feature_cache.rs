//! Cache of frozen vision features.
