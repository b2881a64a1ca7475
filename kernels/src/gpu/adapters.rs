//! Which adapters this machine has, in an order that does not change between two looks.

use std::fmt;

use super::device::OpenError;

/// One adapter. Its number is what `gpu:N` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its place in the list.
    pub number: usize,
    /// The device, in its driver's words.
    pub name: String,
    /// What kind of device it is.
    pub kind: AdapterKind,
    /// The driver and its version.
    pub driver: String,
    /// The graphics interface, e.g. `vulkan`.
    pub interface: String,
    /// What kernels may use: 0 what every adapter has, 1 subgroups as well, 2 also 16-bit floats.
    pub tier: u8,
}

/// The tier of the features of an adapter.
fn tier(features: wgpu::Features) -> u8 {
    match features {
        all if all.contains(wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16) => 2,
        some if some.contains(wgpu::Features::SUBGROUP) => 1,
        _ => 0,
    }
}

/// What kind of device an adapter is, the most promising first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// With memory of its own.
    Discrete,
    /// Sharing the memory of the CPU.
    Integrated,
    /// Handed to a virtual machine.
    Virtual,
    /// Not said.
    Other,
    /// A driver that computes on the CPU: right, but slower than the CPU's own kernels.
    Software,
}

impl AdapterKind {
    /// The name used in reports and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        }
    }

    fn of(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Software,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, kind, driver, interface, .. } = self;
        write!(f, "gpu:{number} {name} ({}, {interface}, {driver})", kind.name())
    }
}

/// Every adapter, the most promising kind first; at least one. Takes some 50 to 250 ms: drivers are loaded.
///
/// # Errors
/// [`OpenError::NoAdapter`] with wgpu's reason.
pub fn adapters() -> Result<Vec<Adapter>, OpenError> {
    Ok(found(&instance())?.into_iter().map(|(described, _)| described).collect())
}

/// Without the validation layers of the graphics interface: wgpu has checks of its own.
pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// Every adapter with its description, at least one.
pub(super) fn found(instance: &wgpu::Instance) -> Result<Vec<(Adapter, wgpu::Adapter)>, OpenError> {
    let mut found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    if found.is_empty() {
        // Only the search for one adapter says why there is none.
        let options = wgpu::RequestAdapterOptions::default();
        match pollster::block_on(instance.request_adapter(&options)) {
            Ok(adapter) => found.push(adapter),
            Err(error) => return Err(OpenError::NoAdapter { reason: error.to_string() }),
        }
    }
    // A stable sort: among equals the order of the drivers stays.
    found.sort_by_key(|adapter| AdapterKind::of(adapter.get_info().device_type));
    let described = |(number, adapter): (usize, wgpu::Adapter)| {
        let info = adapter.get_info();
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        let (kind, interface) = (AdapterKind::of(info.device_type), info.backend.to_string());
        let tier = tier(adapter.features());
        (Adapter { number, name: info.name, kind, driver, interface, tier }, adapter)
    };
    Ok(found.into_iter().enumerate().map(described).collect())
}
