//! Durable records and audit bundles. Placeholder for the agreed interface; the owner of this crate fills it in.
