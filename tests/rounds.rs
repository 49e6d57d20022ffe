//! Batches in rounds: the graph of some of the images is the one that the spec makes for as many.

use netwright_compiler::expand::{Request, expand};
use netwright_compiler::passes;
use netwright_compiler::plan::with_images;
use netwright_compiler::spec::{Spec, builtin_names};
use netwright_ir::Graph;
use std::path::Path;

/// The graph of so many images, before or after the passes.
fn graph(spec: &Spec, batch: usize, optimized: bool) -> Graph {
    let variant = spec.catalog().and_then(|catalog| catalog.variants.into_iter().next());
    let request = Request { batch, variant, ..Request::default() };
    let mut graph = expand(spec, &request).expect("the spec is right").graph;
    // A position code is a feature that has no images.
    graph.features.clear();
    match optimized {
        true => passes::optimize(&graph, &passes::Options::default()).expect("it is valid").graph,
        false => graph,
    }
}

/// The built-in specs, and those of a user.
fn specs() -> Vec<Spec> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/user_networks");
    let files = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let files =
        files.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "arch"));
    let names = builtin_names().into_iter().map(String::from);
    names
        .chain(files.map(|path| path.display().to_string()))
        .map(|name| Spec::load(&name).expect("it can be read"))
        .filter(|spec| spec.network().is_some())
        .collect()
}

#[test]
fn a_part_of_the_images_is_the_graph_of_as_many() {
    let specs = specs();
    assert!(specs.len() > 40, "{} specs", specs.len());
    for spec in specs {
        // 12 images are 12 heads and 3 times 4 as well.
        for (all, part) in [(12, 3), (6, 2)] {
            let changed = with_images(&graph(&spec, all, false), all, part)
                .unwrap_or_else(|| panic!("{} has its images somewhere", spec.name));
            assert!(changed == graph(&spec, part, false), "{} with {part} images", spec.name);
            assert!(
                with_images(&graph(&spec, all, true), all, part).is_some(),
                "{} after the passes",
                spec.name
            );
        }
    }
}
