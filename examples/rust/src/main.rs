//! Names the photo in a PPM file of the network's own size: 224 rows and columns.

include!(concat!(env!("OUT_DIR"), "/mobilenet_v2.rs"));

use mobilenet_v2::{INPUT, Network, OUTPUT};

fn main() {
    let path = std::env::args().nth(1).expect("the path of a PPM file");
    let file = std::fs::read(&path).expect("a readable file");
    let pixels = file.strip_prefix(b"P6\n224 224\n255\n").expect("a PPM of 224 x 224 pixels");
    let input: &[u8; INPUT] = pixels.try_into().expect("three bytes a pixel");

    let mut network = Network::new();
    let mut scores = [0.0; OUTPUT];
    network.run(input, &mut scores);

    let mut classes: Vec<usize> = (0..OUTPUT).collect();
    classes.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    for class in &classes[..5] {
        println!("{class:4}  {:.4}", scores[*class]);
    }
}
