//! The packet path: headers, tables, ESP, AES-GCM kernels, workers.

pub mod gcm;
