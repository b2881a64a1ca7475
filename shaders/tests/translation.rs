//! Every shader, without a graphics processor: it is valid on the least capable adapter, is what its declaration says,
//! keeps to the common limits, has no float in it, and can be translated to what each operating system runs.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess, TypeInner};
use tensor_shaders::{
    Access, Binding, Entry, MAX_BINDINGS, MAX_INVOCATIONS, MAX_SHARED_BYTES, SHADERS, Shader,
};

/// A source as naga reads it, valid without any capability beyond the baseline.
fn parse(name: &str, source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    (module, info)
}

fn parsed() -> impl Iterator<Item = (&'static Shader, Module, ModuleInfo)> {
    SHADERS.iter().map(|shader| {
        let (module, info) = parse(shader.name, shader.source);
        (*shader, module, info)
    })
}

/// The bindings of group 0 as the source has them, by number.
fn bindings(module: &Module) -> Vec<(u32, String, Access, usize)> {
    let mut found = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        assert_eq!(binding.group, 0, "{:?}", variable.name);
        let access = match variable.space {
            AddressSpace::Uniform => Access::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::Write,
            AddressSpace::Storage { .. } => Access::Read,
            other => panic!("{:?} lies in {other:?}", variable.name),
        };
        let bytes = match module.types[variable.ty].inner {
            TypeInner::Array { stride, .. } => stride,
            ref inner => inner.size(module.to_ctx()),
        };
        found.push((binding.binding, variable.name.clone().unwrap(), access, bytes as usize));
    }
    found.sort_by_key(|binding| binding.0);
    found
}

#[test]
fn a_shader_is_what_its_declaration_says() {
    for (shader, module, _) in parsed() {
        let entries: Vec<_> =
            module.entry_points.iter().map(|entry| (entry.name.as_str(), entry.workgroup_size)).collect();
        let declared = |entry: &Entry| (entry.name, entry.workgroup);
        assert_eq!(entries, shader.entries.iter().map(declared).collect::<Vec<_>>(), "{}", shader.name);

        let declared = |(number, binding): (u32, &Binding)| {
            (number, binding.name.to_owned(), binding.access, binding.bytes)
        };
        let declared: Vec<_> = (0..).zip(shader.bindings).map(declared).collect();
        assert_eq!(bindings(&module), declared, "{}", shader.name);
    }
}

#[test]
fn names_are_those_of_files_and_told_apart() {
    for shader in SHADERS {
        let own = format!("{}/wgsl/{}.wgsl", env!("CARGO_MANIFEST_DIR"), shader.name);
        let own = std::fs::read_to_string(&own).unwrap_or_else(|error| panic!("{own}: {error}"));
        assert!(shader.source.ends_with(&own), "{} ends with the file of its name", shader.name);
        assert_eq!(SHADERS.iter().filter(|other| other.name == shader.name).count(), 1, "{}", shader.name);
    }
}

#[test]
fn every_adapter_has_what_a_shader_asks_for() {
    for (shader, module, _) in parsed() {
        assert!(shader.bindings.len() <= MAX_BINDINGS, "{}", shader.name);
        for entry in shader.entries {
            let invocations: u32 = entry.workgroup.iter().product();
            assert!((1..=MAX_INVOCATIONS).contains(&invocations), "{}: {}", shader.name, entry.name);
        }
        let shared =
            module.global_variables.iter().filter(|(_, global)| global.space == AddressSpace::WorkGroup);
        let bytes: u32 = shared.map(|(_, global)| module.types[global.ty].inner.size(module.to_ctx())).sum();
        assert!(bytes <= MAX_SHARED_BYTES, "{}: {bytes} bytes shared", shader.name);
    }
}

/// All of a module in SPIR-V.
fn spirv(module: &Module, info: &ModuleInfo) -> Vec<u32> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    spv::write_vec(module, info, &options, None).unwrap()
}

/// Whether some value of the module is a float, however it came about: all types are declared in SPIR-V.
fn has_floats(words: &[u32]) -> bool {
    const HEADER: usize = 5;
    const TYPE_FLOAT: u32 = 22;
    let mut at = HEADER;
    while at < words.len() {
        if words[at] & 0xffff == TYPE_FLOAT {
            return true;
        }
        at += (words[at] >> 16) as usize;
    }
    false
}

#[test]
fn no_shader_computes_with_floats() {
    for (shader, module, info) in parsed() {
        assert!(!has_floats(&spirv(&module, &info)), "{} has a float in it", shader.name);
    }
}

#[test]
fn a_float_is_noticed_in_any_guise() {
    let noticed = |expression: &str| {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
             @compute @workgroup_size(1) fn main() {{ x[0] = {expression}; }}"
        );
        let (module, info) = parse(expression, &source);
        has_floats(&spirv(&module, &info))
    };
    assert!(!noticed("x[1] * 3u + countOneBits(x[2])"));
    for float in [
        "u32(f32(x[1]))",
        "u32(sqrt(f32(x[1])))",
        "u32(bitcast<f32>(x[1]) * 0.5)",
        "pack4x8unorm(unpack4x8unorm(x[1]))",
    ] {
        assert!(noticed(float), "{float}");
    }
}

#[test]
fn every_shader_becomes_spirv_msl_hlsl_and_glsl() {
    for (shader, module, info) in parsed() {
        assert!(!spirv(&module, &info).is_empty());
        let options = msl::Options { lang_version: (2, 1), ..msl::Options::default() };
        let (text, _) =
            msl::write_string(&module, &info, &options, &msl::PipelineOptions::default()).unwrap();
        assert!(shader.entries.iter().all(|entry| text.contains(entry.name)), "{}", shader.name);

        let (mut text, options, pipeline) = (String::new(), Default::default(), Default::default());
        hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None).unwrap();
        assert!(shader.entries.iter().all(|entry| text.contains(entry.name)), "{}", shader.name);

        for entry in shader.entries {
            let pipeline = glsl::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: entry.name.into(),
                multiview: None,
            };
            let (mut text, options) = (String::new(), Default::default());
            let policies = BoundsCheckPolicies::default();
            let mut writer =
                glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, policies).unwrap();
            writer.write().unwrap_or_else(|error| panic!("{}: {}: {error}", shader.name, entry.name));
            assert!(text.contains("void main()"));
        }
    }
}
