#!/usr/bin/env python3
"""An orchestrator of one's own, whole, without generated code: messages are learned from the server by reflection.

It wishes for a network, subnets, endpoints, groups and a policy, watches until all is programmed, goes on when vrouter-control restarts, and takes
everything away at the end. What it does is told on standard output, one JSON object a line. It ends, and cleans up, on SIGTERM, SIGINT, or when its
standard input ends.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "vrouter.control.v1.Control"
DEADLINE = 5  # seconds that one attempt may take
PATIENCE = 60  # seconds that a call is repeated
SUBNETS = {"v4": "10.77.0.0/24", "v6": "fd00:77::/64"}
ROLES = ("web", "db")


def tell(**event):
    print(json.dumps(event), flush=True)


class Control:
    """The connection: every call has a deadline and is repeated while control is away. Creating is idempotent by name, deleting what is gone
    succeeds: repeating is safe."""

    AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)

    def __init__(self, address):
        target = address.removeprefix("http://")
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
        # The name is not the socket's path, which would be no valid authority.
        if target.startswith("unix:"):
            options.append(("grpc.default_authority", "localhost"))
        self.channel = grpc.insecure_channel(target, options)
        grpc.channel_ready_future(self.channel).result(timeout=PATIENCE)
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.service = pool.FindServiceByName(SERVICE)
        self.stubs = {}
        for method in self.service.methods:
            request = message_factory.GetMessageClass(method.input_type)
            answer = message_factory.GetMessageClass(method.output_type)
            kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
            path = f"/{SERVICE}/{method.name}"
            stub = kind(path, request_serializer=request.SerializeToString, response_deserializer=answer.FromString)
            self.stubs[method.name] = (request, stub)

    def call(self, method, **fields):
        """Calls until there is an answer that another attempt would not change."""
        request, stub = self.stubs[method]
        pause, until = 0.05, time.monotonic() + PATIENCE
        while True:
            try:
                return stub(request(**fields), timeout=DEADLINE)
            except grpc.RpcError as error:
                if error.code() not in self.AWAY or time.monotonic() > until:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 2)

    def stream(self, method, **fields):
        """Without a deadline: it is meant to last."""
        request, stub = self.stubs[method]
        return stub(request(**fields))


class Orchestrator:
    def __init__(self, control, network, workloads):
        self.control, self.network, self.workloads = control, network, workloads

    def make(self):
        """Makes it all. Done twice, or after half of it was done, it comes to the same."""
        call, network = self.control.call, self.network
        call("CreateNetwork", network={"name": network})
        for name, cidr in SUBNETS.items():
            call("CreateSubnet", subnet={"network": network, "name": name, "cidr": cidr})
        for name, (role, node, interface) in self.workloads.items():
            try:
                call("CreateNode", node={"name": node})
            except grpc.RpcError as error:
                # Nodes are not ours: one that is there may have been made by another wish.
                if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                    raise
            endpoint = call(
                "CreateEndpoint",
                endpoint={
                    "network": network,
                    "name": name,
                    "node": node,
                    "interface": interface,
                    "labels": {"role": role},
                    # Our own key: a second attempt gets the same endpoint, with the same addresses.
                    "client_id": f"example/{network}/{name}",
                },
            )
            tell(
                event="endpoint",
                name=endpoint.name,
                mac=endpoint.mac,
                addresses=list(endpoint.addresses),
                gateways=list(endpoint.gateways),
                mtu=endpoint.mtu,
            )
        for role in ROLES:
            group = {"name": f"{network}-{role}", "match_labels": {"role": role}, "networks": [network]}
            call("CreateGroup", group=group, allow_unknown_labels=True)
        rule = {"name": "web", "direction": "INGRESS", "action": "ALLOW", "peers": [{"group": f"{network}-web"}]}
        policy = {"name": f"{network}-db", "applies_to": f"{network}-db", "isolate_ingress": True, "rules": [rule]}
        call("CreatePolicy", policy=policy)

    def take_away(self):
        """In the reverse order. What is not there is no error."""
        call, network = self.control.call, self.network
        call("DeletePolicy", name=f"{network}-db")
        for role in ROLES:
            call("DeleteGroup", name=f"{network}-{role}")
        for name in self.workloads:
            call("DeleteEndpoint", network=network, name=name)
        for name in SUBNETS:
            call("DeleteSubnet", network=network, name=name)
        call("DeleteNetwork", name=network)

    def watch(self):
        """Follows our endpoints for ever. A stream that breaks off is begun again; it then first tells of all that is there, so nothing is missed."""
        away, pause = False, 0.1
        while True:
            try:
                for event in self.control.stream("Watch", kinds=["ENDPOINT"]):
                    pause = 0.1
                    if away:
                        away = False
                        tell(event="control", state="back")
                    kind = event.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number.get(event.type)
                    kind = kind.name if kind else "UNKNOWN"
                    if kind == "LOST":
                        # We were too slow, and must look from the start.
                        break
                    if kind == "SYNCED" or kind in ("CREATED", "UPDATED", "DELETED") and event.endpoint.network == self.network:
                        self.until_programmed()
            except grpc.RpcError as error:
                if not away:
                    tell(event="control", state="away", why=error.details())
                    away = True
            time.sleep(pause)
            pause = min(pause * 2, 5)

    def until_programmed(self):
        """Events tell of wishes. What becomes of them on the nodes is asked for, until all is as wished."""
        told = set()
        while True:
            endpoints = {endpoint.name: endpoint for endpoint in self.control.call("ListEndpoints", network=self.network).endpoints}
            for endpoint in endpoints.values():
                if endpoint.error and endpoint.error not in told:
                    told.add(endpoint.error)
                    tell(event="refused", name=endpoint.name, why=endpoint.error)
            if all(name in endpoints and endpoints[name].programmed for name in self.workloads):
                tell(event="ready")
                return
            time.sleep(0.5)


def workload(text):
    match = re.fullmatch(r"([^=]+)=([^@]+)@([^/]+)/(.+)", text)
    if not match:
        raise argparse.ArgumentTypeError("NAME=ROLE@NODE/INTERFACE would be right")
    return match.group(1), match.groups()[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--control", default=os.environ.get("VROUTER_CONTROL", "unix:/run/vrouter/control.sock"))
    parser.add_argument("--network", default="shop")
    parser.add_argument("--workload", type=workload, action="append", required=True, metavar="NAME=ROLE@NODE/INTERFACE")
    options = parser.parse_args()

    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())

    def end_of_input():
        sys.stdin.buffer.read()
        told.set()

    threading.Thread(target=end_of_input, daemon=True).start()
    orchestrator = Orchestrator(Control(options.control), options.network, dict(options.workload))
    failure = None
    try:
        orchestrator.make()
        threading.Thread(target=orchestrator.watch, daemon=True).start()
        told.wait()
    except grpc.RpcError as error:
        failure = error
    # Whatever was made is taken away, also after half of the work.
    orchestrator.take_away()
    tell(event="clean", findings=list(orchestrator.control.call("Audit").findings))
    if failure:
        sys.exit(f"{failure.code().name}: {failure.details()}")
    # The watching thread is still in its stream.
    os._exit(0)


if __name__ == "__main__":
    main()
