//! The Rust module of a network.

use netwright::build::Build;

/// The text of the module.
pub fn text(build: &Build) -> String {
    let name = &build.name;
    let object = &build.object;
    let file = &object.file;
    let input = object.input.elements();
    let (element, form) = match object.input_bytes {
        true => ("u8", "levels from 0 to 255, `[image][row][column][channel]`"),
        false => ("f32", "normalised values, `[image][channel][row][column]`"),
    };
    let comment: String = build
        .header
        .lines()
        .skip(3)
        .take_while(|line| *line != " */")
        .map(|line| format!("    //! {}\n", line.trim_start_matches(" *").trim_start()))
        .collect();
    let outputs = &object.outputs;
    let constants: String = match outputs.as_slice() {
        [one] => format!(
            "    /// Values of the output: `{}`, {:?}.\n    pub const OUTPUT: usize = {};\n",
            one.name,
            one.shape,
            one.elements()
        ),
        all => all
            .iter()
            .enumerate()
            .map(|(i, port)| {
                format!(
                    "    /// Values of output {i}: `{}`, {:?}.\n    pub const OUTPUT_{i}: usize = {};\n",
                    port.name,
                    port.shape,
                    port.elements()
                )
            })
            .collect(),
    };
    let (parameters, c_type, argument) = match outputs.len() {
        1 => (
            "output: &mut [f32; OUTPUT]".to_string(),
            "*mut f32".to_string(),
            "output.as_mut_ptr()".to_string(),
        ),
        n => (
            (0..n)
                .map(|i| format!("output_{i}: &mut [f32; OUTPUT_{i}]"))
                .collect::<Vec<_>>()
                .join(", "),
            "*const *mut f32".to_string(),
            format!(
                "[{}].as_ptr()",
                (0..n).map(|i| format!("output_{i}.as_mut_ptr()")).collect::<Vec<_>>().join(", ")
            ),
        ),
    };
    let lines = file.workspace_bytes(1).div_ceil(64);
    format!(
        r#"/// {what}
#[allow(dead_code)]
pub mod {name} {{
{comment}
    /// Values of the input: {form}.
    pub const INPUT: usize = {input};
{constants}
    #[repr(C, align(64))]
    #[derive(Clone, Copy)]
    struct Line([u8; 64]);

    unsafe extern "C" {{
        fn {name}_run(
            input: *const {element},
            output: {c_type},
            workspace: *mut Line,
            options: *const core::ffi::c_void,
        ) -> i32;
    }}

    /// The network with its memory, which one run at a time uses. Weights are constants of the program, and are
    /// there once.
    #[derive(Clone)]
    pub struct Network {{
        workspace: Vec<Line>,
    }}

    impl Network {{
        /// Allocates {bytes} bytes, all that is ever needed.
        pub fn new() -> Network {{
            Network {{ workspace: vec![Line([0; 64]); {lines}] }}
        }}

        /// Runs the network once, on this thread.
        ///
        /// # Panics
        /// Where the code was built for more than this CPU has.
        pub fn run(&mut self, input: &[{element}; INPUT], {parameters}) {{
            // SAFETY: the buffers have the lengths that the code was compiled for, the workspace is aligned and
            // as large as it wants it for one thread, and is borrowed for the call.
            let status = unsafe {{
                {name}_run(input.as_ptr(), {argument}, self.workspace.as_mut_ptr(), core::ptr::null())
            }};
            assert!(status == 0, "{name}_run returned {{status}}: it is built for another CPU");
        }}
    }}

    impl Default for Network {{
        fn default() -> Network {{
            Network::new()
        }}
    }}
}}
"#,
        what = format_args!("The network `{name}`, compiled by netwright."),
        bytes = lines * 64,
    )
}
