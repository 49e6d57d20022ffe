//! Compiles the network into the program.

fn main() {
    netwright_build::Network::new("mobilenet_v2").bytes().build();
}
