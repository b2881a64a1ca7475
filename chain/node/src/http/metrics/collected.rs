//! Values that are asked for when somebody wants to read them, in the words of the metrics library.

use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tensor_cluster::histogram::Distribution;

/// Writes one metric after the other. Each has a name, with its unit, and a line of help.
pub(super) struct Writer<'e>(pub(super) DescriptorEncoder<'e>);

type Named = (&'static str, &'static str);

impl Writer<'_> {
    pub(super) fn gauge(&mut self, (name, help): Named, value: impl EncodeGaugeValue) -> Result<(), Error> {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    /// A gauge that is only there while it has a value.
    pub(super) fn gauge_if(&mut self, named: Named, value: Option<f64>) -> Result<(), Error> {
        value.map_or(Ok(()), |value| self.gauge(named, value))
    }

    pub(super) fn counter(
        &mut self,
        (name, help): Named,
        value: impl EncodeCounterValue,
    ) -> Result<(), Error> {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    /// One gauge for each set of labels.
    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, help): Named,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let mut each =
            |(labels, value): (L, V)| ConstGauge::new(value).encode(metric.encode_family(&labels)?);
        values.into_iter().try_for_each(&mut each)
    }

    /// One counter for each set of labels.
    pub(super) fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        (name, help): Named,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        let mut each =
            |(labels, value): (L, V)| ConstCounter::new(value).encode(metric.encode_family(&labels)?);
        values.into_iter().try_for_each(&mut each)
    }

    pub(super) fn histogram(&mut self, (name, help): Named, values: &Distribution) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(values.sum, values.count(), &values.buckets, None)
    }
}
