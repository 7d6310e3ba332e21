//! Gateways, real peers and traffic, in one program: its tests share the machine until the last is done, and it is linked once.

mod active_active;
mod appliance;
mod bandwidth;
mod certificates;
mod crash;
mod crash_detection;
mod faults;
mod gateway_size;
mod guest;
mod hostile_input;
mod ike_algorithms;
mod ike_extensions;
mod lab_proves_itself;
mod mobike;
mod networks;
mod operations;
mod peer_config;
mod places;
mod policy_based;
mod ppk;
mod rekey;
mod reload;
mod site_to_site;
mod topologies;
mod two_gateways;
mod two_tunnels;
