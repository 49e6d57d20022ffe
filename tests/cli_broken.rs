//! Broken specs: each gives its diagnostics, status 1, and nothing else.

mod cli_common;

use cli_common::{netwright, root};

#[test]
fn every_broken_spec_is_diagnosed() {
    let folder = root().join("tests/broken");
    let entries = std::fs::read_dir(&folder).expect("the folder of broken specs");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".arch"))
        .collect();
    names.sort();
    assert!(names.len() >= 24, "{names:?}");
    for name in names {
        let run = netwright(&folder, &["check", &name]);
        assert_eq!(run.status, 1, "{name}: {}", run.err);
        assert_eq!(run.out, "", "{name}");
        assert!(run.err.starts_with("error[E") || run.err.starts_with("warning[W"), "{}", run.err);
        let stem = name.trim_end_matches(".arch");
        insta::with_settings!({ prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("broken_{stem}"), run.err);
        });
    }
}
