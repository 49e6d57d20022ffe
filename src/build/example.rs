//! `main.c`: a small program that runs the network once.

use netwright_compiler::driver::{NetworkObject, Port};

/// The text of the program, C99 and C++.
pub fn text(name: &str, object: &NetworkObject) -> String {
    let upper = name.to_ascii_uppercase();
    let external = object.file.external.is_some();
    let outputs = &object.outputs;
    let first = if external { 2 } else { 1 };
    let mut out = format!(
        r#"/*
 * Runs the network once and prints what it says.
 *
 *   cc -O2 main.c {name}.o -o main
 *   ./main {usage}
 *
 * INPUT holds the input as {name}.h describes it, as raw bytes; without it, the input is zeros.
 * The outputs are written to OUTPUT, one after the other, as raw f32.
 */
#include "{name}.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory aligned as the network wants it; *start is what to free. */
static void *aligned(size_t bytes, void **start)
{{
    *start = malloc(bytes + {upper}_ALIGN);
    if (*start == NULL) {{
        fprintf(stderr, "no memory for %lu bytes\n", (unsigned long)bytes);
        exit(1);
    }}
    return (void *)(((uintptr_t)*start + {upper}_ALIGN - 1) / {upper}_ALIGN * {upper}_ALIGN);
}}

/* Reads a whole file of that size. */
static void read_file(const char *path, void *to, size_t bytes)
{{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(to, 1, bytes, file) != bytes || fgetc(file) != EOF) {{
        fprintf(stderr, "%s: cannot be read, or is not %lu bytes long\n", path, (unsigned long)bytes);
        exit(1);
    }}
    fclose(file);
}}
"#,
        usage = if external {
            format!("{name}.weights [INPUT [OUTPUT]]")
        } else {
            "[INPUT [OUTPUT]]".into()
        },
    );
    if outputs.iter().any(|port| classes(port) > 1) {
        out += TOP;
    }
    out += &format!(
        r#"
int main(int argc, char **argv)
{{
    void *memory[{count}];
    {input} *input = ({input} *)aligned({upper}_INPUT_BYTES, &memory[0]);
    void *workspace = aligned({upper}_WORKSPACE_BYTES_FOR(1), &memory[1]);
"#,
        count = 2 + outputs.len() + usize::from(external),
        input = super::interface::input_type(object),
    );
    let bytes = |i: usize| match outputs.len() {
        1 => format!("{upper}_OUTPUT_BYTES"),
        _ => format!("{upper}_OUTPUT_{i}_BYTES"),
    };
    match outputs.len() {
        1 => {
            out += &format!("    float *output = (float *)aligned({}, &memory[2]);\n", bytes(0));
        }
        n => {
            out += &format!("    float *outputs[{n}];\n");
        }
    }
    if external {
        out += "    const void *weights;\n";
    }
    out += "    size_t i;\n    int error;\n\n";
    if outputs.len() > 1 {
        for i in 0..outputs.len() {
            out += &format!(
                "    outputs[{i}] = (float *)aligned({}, &memory[{}]);\n",
                bytes(i),
                2 + i
            );
        }
    }
    if external {
        let slot = 2 + outputs.len();
        out += &format!(
            r#"    if (argc < 2) {{
        fprintf(stderr, "usage: %s {name}.weights [INPUT [OUTPUT]]\n", argv[0]);
        return 2;
    }}
    weights = aligned({upper}_WEIGHTS_BYTES, &memory[{slot}]);
    read_file(argv[1], (void *)weights, {upper}_WEIGHTS_BYTES);
"#
        );
    }
    let call = match (external, outputs.len()) {
        (true, 1) => format!("weights, {upper}_WEIGHTS_BYTES, input, output"),
        (true, _) => format!("weights, {upper}_WEIGHTS_BYTES, input, outputs"),
        (false, 1) => "input, output".into(),
        (false, _) => "input, outputs".into(),
    };
    out += &format!(
        r#"    memset(input, 0, {upper}_INPUT_BYTES);
    if (argc > {first}) {{
        read_file(argv[{first}], input, {upper}_INPUT_BYTES);
    }}

    error = {name}_run({call}, workspace, NULL);
    if (error != 0) {{
        fprintf(stderr, "{name}_run returned %d\n", error);
        return 1;
    }}

"#
    );
    for (i, port) in outputs.iter().enumerate() {
        let buffer =
            if outputs.len() == 1 { "output".to_string() } else { format!("outputs[{i}]") };
        out += &format!("    printf(\"{}:\\n\");\n", port.name.replace(['"', '\\', '%'], "_"));
        let classes = classes(port);
        out += &match classes {
            0 | 1 => format!("    printf(\"  %g ...\\n\", (double){buffer}[0]);\n"),
            n => format!("    print_top({buffer}, {n});\n"),
        };
    }
    let second = first + 1;
    out += &format!(
        "    if (argc > {second}) {{\n        FILE *file = fopen(argv[{second}], \"wb\");\n        int good = file != NULL;\n"
    );
    for i in 0..outputs.len() {
        let buffer =
            if outputs.len() == 1 { "output".to_string() } else { format!("outputs[{i}]") };
        out +=
            &format!("        good = good && fwrite({buffer}, 1, {0}, file) == {0};\n", bytes(i));
    }
    out += &format!(
        r#"        good = file != NULL && fclose(file) == 0 && good;
        if (!good) {{
            fprintf(stderr, "%s: cannot be written\n", argv[{second}]);
            return 1;
        }}
    }}
    for (i = 0; i < sizeof memory / sizeof memory[0]; i++) {{
        free(memory[i]);
    }}
    return 0;
}}
"#
    );
    out
}

/// Scores of each image; 0 where the output is no list of scores.
fn classes(port: &Port) -> usize {
    match port.shape[..] {
        [_, classes] => classes,
        _ => 0,
    }
}

const TOP: &str = r#"
/* Prints the five largest values of the first image, and where they are. */
static void print_top(const float *scores, size_t count)
{
    size_t best[5];
    size_t found = 0, i, j;
    for (i = 0; i < count; i++) {
        size_t place = found;
        while (place > 0 && scores[i] > scores[best[place - 1]]) {
            place--;
        }
        if (place >= 5) {
            continue;
        }
        found = found < 5 ? found + 1 : 5;
        for (j = found - 1; j > place; j--) {
            best[j] = best[j - 1];
        }
        best[place] = i;
    }
    for (i = 0; i < found; i++) {
        printf("  %lu: %g\n", (unsigned long)best[i], (double)scores[best[i]]);
    }
}
"#;
