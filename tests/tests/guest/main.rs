//! Tests that boot a guest, in one program: an emulated guest takes a core's whole time, and so two of them run beside each other until the last is done.

mod esp_transforms;
mod kernel_esp;
mod pci_ports;
