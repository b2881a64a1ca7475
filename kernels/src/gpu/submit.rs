//! Dispatches: cleared outputs, the kernels, a copy of what is to be read, and one wait that ends.

use std::sync::mpsc;
use std::time::Instant;

use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;

/// A kernel with its buffers.
pub(super) struct Dispatch<'a> {
    pub(super) pipeline: &'a wgpu::ComputePipeline,
    /// Buffers in the order of their binding numbers.
    pub(super) bindings: &'a [&'a wgpu::Buffer],
    pub(super) workgroups: (u32, u32),
    /// Buffers that begin as zeros, up to so many words.
    pub(super) cleared: &'a [(&'a wgpu::Buffer, usize)],
}

/// Words to be read: a buffer, the first word, how many.
pub(super) type Reading<'a> = (&'a wgpu::Buffer, usize, usize);

impl Gpu {
    /// Runs dispatches one after the other and gives what is read after them. Waits as long as the options allow.
    pub(super) fn submit(
        &self,
        dispatches: &[Dispatch<'_>],
        reads: &[Reading<'_>],
    ) -> Result<Vec<Vec<u32>>, Fault> {
        self.still_there()?;
        let words: usize = reads.iter().map(|&(_, _, words)| words).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.memory().lease(self, bytes(words), usage)?;
        self.checked(|device| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for dispatch in dispatches {
                encode(device, &mut encoder, dispatch);
            }
            let mut at = 0;
            for &(buffer, first, words) in reads {
                encoder.copy_buffer_to_buffer(buffer, bytes(first), &staging, at, bytes(words));
                at += bytes(words);
            }
            self.queue().submit([encoder.finish()]);
        })?;
        let all = self.read(&staging, words)?;
        let mut rest = &all[..];
        let split = |&(_, _, words): &Reading<'_>| {
            let (own, behind) = rest.split_at(words);
            rest = behind;
            own.to_vec()
        };
        Ok(self.tampered(reads.iter().map(split).collect()))
    }

    fn read(&self, staging: &Lease, words: usize) -> Result<Vec<u32>, Fault> {
        let timeout = self.timeout();
        let deadline = Instant::now() + timeout;
        let (done, mapped) = mpsc::channel();
        let slice = staging.slice(..bytes(words));
        self.checked(|device| {
            slice.map_async(wgpu::MapMode::Read, move |result| {
                // The receiver is gone only after a timeout.
                let _ = done.send(result);
            });
            device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(timeout) })
        })?
        .map_err(|error| match error {
            wgpu::PollError::Timeout => Fault::Timeout(timeout),
            error @ wgpu::PollError::WrongSubmissionIndex(..) => Fault::Refused(error.to_string()),
        })?;
        self.still_there()?;
        // Another thread's poll may be about to say so.
        let rest = deadline.saturating_duration_since(Instant::now());
        match mapped.recv_timeout(rest) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.still_there()?;
                return Err(Fault::Refused(error.to_string()));
            }
            Err(_) => return Err(Fault::Timeout(timeout)),
        }
        let view = slice.get_mapped_range().map_err(|error| Fault::Refused(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        Ok(values)
    }
}

fn encode(device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, dispatch: &Dispatch<'_>) {
    let Dispatch { pipeline, bindings, workgroups, cleared } = dispatch;
    for &(buffer, words) in *cleared {
        encoder.clear_buffer(buffer, 0, Some(bytes(words)));
    }
    let entries: Vec<_> = (0..)
        .zip(*bindings)
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    let layout = &pipeline.get_bind_group_layout(0);
    let group =
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(workgroups.0, workgroups.1, 1);
}

const fn bytes(words: usize) -> u64 {
    words as u64 * 4
}
