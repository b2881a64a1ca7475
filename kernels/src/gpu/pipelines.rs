//! Kernels compiled when they are first asked for, each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tensor_shaders::{Entry, Shader};

use super::device::Gpu;
use super::fault::Fault;

type Compiled = Arc<OnceLock<Result<wgpu::ComputePipeline, Fault>>>;

/// What has been compiled, by operation and entry point.
#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<BTreeMap<(&'static str, &'static str), Compiled>>);

impl Pipelines {
    /// The compiled kernel. Compiling holds up only those who want the same one.
    pub(super) fn get(
        &self,
        gpu: &Gpu,
        shader: &Shader,
        entry: Entry,
    ) -> Result<wgpu::ComputePipeline, Fault> {
        let place = {
            let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(compiled.entry((shader.name, entry.name)).or_default())
        };
        place.get_or_init(|| compile(gpu, shader, entry)).clone()
    }
}

fn compile(gpu: &Gpu, shader: &Shader, entry: Entry) -> Result<wgpu::ComputePipeline, Fault> {
    gpu.checked(|device| {
        let source = wgpu::ShaderSource::Wgsl(shader.source.into());
        // Checked: indices out of bounds never leave a buffer, and no loop is endless.
        let module =
            device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(shader.name), source });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry.name),
            layout: None,
            module: &module,
            entry_point: Some(entry.name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    })
}
