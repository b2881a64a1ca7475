//! Kernels compiled when they are first asked for, each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tensor_shaders::{Access, Binding, Entry, Shader};

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
        // All of the shader's buffers, also those that this entry point leaves alone.
        let entries: Vec<_> = (0..).zip(shader.bindings).map(layout_entry).collect();
        let bindings = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let bindings = device.create_bind_group_layout(&bindings);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &[Some(&bindings)],
            ..Default::default()
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry.name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    })
}

fn layout_entry((binding, declared): (u32, &Binding)) -> wgpu::BindGroupLayoutEntry {
    let ty = match declared.access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: wgpu::BufferSize::new(declared.bytes as u64),
        },
        count: None,
    }
}
