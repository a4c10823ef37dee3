//! Which elements, in which order and length, each kind of record has.

/// An information element: its number in IANA's registry, and how many bytes it has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u16,
    pub(super) length: u16,
}

/// The length of a text that tells its own.
pub(super) const VARIABLE: u16 = 0xffff;

const fn element(id: u16, length: u16) -> Element {
    Element { id, length }
}

/// A template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    pub(super) id: u16,
    /// How many of the elements say what the record is about; 0: it is of flows.
    pub(super) scope: u16,
    pub(super) elements: &'static [&'static [Element]],
}

impl Template {
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.elements.iter().flat_map(|some| some.iter().copied())
    }

    /// Bytes of one record, without texts.
    pub(super) fn length(&self) -> usize {
        let fixed = self.elements().filter(|e| e.length != VARIABLE);
        fixed.map(|e| usize::from(e.length)).sum()
    }
}

/// Of every flow.
const COMMON: &[Element] = &[
    element(152, 8), // flowStartMilliseconds
    element(153, 8), // flowEndMilliseconds
    element(148, 8), // flowId
    element(2, 8),   // packetDeltaCount
    element(1, 8),   // octetDeltaCount
    element(10, 4),  // ingressInterface
    element(14, 4),  // egressInterface
    element(234, 4), // ingressVRFID
    element(235, 4), // egressVRFID
    element(7, 2),   // sourceTransportPort
    element(11, 2),  // destinationTransportPort
    element(4, 1),   // protocolIdentifier
    element(61, 1),  // flowDirection
    element(239, 1), // biflowDirection
    element(136, 1), // flowEndReason
    element(233, 1), // firewallEvent
    element(89, 1),  // forwardingStatus
];

const V4: &[Element] = &[
    element(8, 4),  // sourceIPv4Address
    element(12, 4), // destinationIPv4Address
];

const V6: &[Element] = &[
    element(27, 16), // sourceIPv6Address
    element(28, 16), // destinationIPv6Address
];

const NAT_PORTS: &[Element] = &[
    element(227, 2), // postNAPTSourceTransportPort
    element(228, 2), // postNAPTDestinationTransportPort
];

const NAT_V4: &[Element] = &[
    element(225, 4), // postNATSourceIPv4Address
    element(226, 4), // postNATDestinationIPv4Address
];

const NAT_V6: &[Element] = &[
    element(281, 16), // postNATSourceIPv6Address
    element(282, 16), // postNATDestinationIPv6Address
];

/// IPv4 flows.
pub(super) const FLOW_V4: Template = Template {
    id: 256,
    scope: 0,
    elements: &[COMMON, V4],
};
/// IPv6 flows.
pub(super) const FLOW_V6: Template = Template {
    id: 257,
    scope: 0,
    elements: &[COMMON, V6],
};
/// IPv4 flows that are translated.
pub(super) const NAT_FLOW_V4: Template = Template {
    id: 258,
    scope: 0,
    elements: &[COMMON, V4, NAT_V4, NAT_PORTS],
};
/// IPv6 flows that are translated.
pub(super) const NAT_FLOW_V6: Template = Template {
    id: 259,
    scope: 0,
    elements: &[COMMON, V6, NAT_V6, NAT_PORTS],
};
/// The exporter: what it sent and did not, and which flows it takes.
pub(super) const EXPORTER: Template = Template {
    id: 260,
    scope: 1,
    elements: &[&[
        element(149, 4), // observationDomainId
        element(41, 8),  // exportedMessageTotalCount
        element(42, 8),  // exportedFlowRecordTotalCount
        element(166, 8), // notSentFlowTotalCount
        element(396, 4), // samplingFlowInterval
        element(397, 4), // samplingFlowSpacing
    ]],
};
/// Names of interfaces.
pub(super) const INTERFACE: Template = Template {
    id: 261,
    scope: 1,
    elements: &[&[
        element(10, 4),        // ingressInterface
        element(82, VARIABLE), // interfaceName
    ]],
};
/// Names of VRFs.
pub(super) const VRF: Template = Template {
    id: 262,
    scope: 1,
    elements: &[&[
        element(234, 4),        // ingressVRFID
        element(236, VARIABLE), // VRFname
    ]],
};

/// All of them.
pub(super) const ALL: [&Template; 7] = [
    &FLOW_V4,
    &FLOW_V6,
    &NAT_FLOW_V4,
    &NAT_FLOW_V6,
    &EXPORTER,
    &INTERFACE,
    &VRF,
];
