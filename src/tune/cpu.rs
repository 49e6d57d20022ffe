//! Which CPU this is.

use std::fmt;

/// A model of CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Tells models apart; letters, digits and `-`.
    pub id: String,
    /// For people.
    pub name: String,
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

impl Cpu {
    /// The CPU that this runs on. Where it cannot be asked, all CPUs of an architecture count as one.
    pub fn host() -> Cpu {
        let arch = std::env::consts::ARCH;
        ask().unwrap_or_else(|| Cpu { id: arch.into(), name: arch.into() })
    }
}

/// By `cpuid`: maker, family, model, stepping; and the name that the maker gave it.
#[cfg(target_arch = "x86_64")]
fn ask() -> Option<Cpu> {
    use std::arch::x86_64::__cpuid;
    let text = |words: &[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        String::from_utf8_lossy(&bytes).split('\0').next().unwrap_or("").trim().to_string()
    };
    let first = __cpuid(0);
    let maker = text(&[first.ebx, first.edx, first.ecx]);
    let version = __cpuid(1).eax;
    // "Processor version information" in the manuals: the extended fields count for some families only.
    let [stepping, model, family] = [0, 4, 8].map(|shift| version >> shift & 0xf);
    let [more_model, more_family] = [version >> 16 & 0xf, version >> 20 & 0xff];
    let model = if matches!(family, 6 | 15) { model + (more_model << 4) } else { model };
    let family = if family == 15 { family + more_family } else { family };
    let brand = match __cpuid(0x8000_0000).eax {
        0x8000_0004.. => {
            let leaves = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(__cpuid);
            let words: Vec<u32> =
                leaves.iter().flat_map(|l| [l.eax, l.ebx, l.ecx, l.edx]).collect();
            text(&words)
        }
        _ => String::new(),
    };
    let id = legal(&format!("{maker}-{family}-{model}-{stepping}"));
    let words: Vec<&str> = brand.split_whitespace().collect();
    let name = if words.is_empty() { id.clone() } else { words.join(" ") };
    Some(Cpu { id, name })
}

/// By what Linux tells of the first core: who designed it, and its part and revision.
#[cfg(not(target_arch = "x86_64"))]
fn ask() -> Option<Cpu> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let fields = ["CPU implementer", "CPU part", "CPU variant", "CPU revision"];
    let values = fields.iter().map(|name| field(name)).collect::<Option<Vec<String>>>()?;
    let id = legal(&format!("{}-{}", std::env::consts::ARCH, values.join("-")));
    Some(Cpu { name: field("model name").unwrap_or_else(|| id.clone()), id })
}

/// With `-` for what is not in file names everywhere.
fn legal(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    text.chars().map(keep).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal() {
        assert_eq!(legal("../x y"), "---x-y");
        let cpu = Cpu::host();
        assert_eq!(cpu, Cpu::host());
        assert!(!cpu.id.is_empty() && cpu.id == legal(&cpu.id), "{cpu:?}");
        assert!(!cpu.name.is_empty());
    }
}
