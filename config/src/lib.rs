//! The resources of a gateway: read, checked as a whole, with every finding.
