// Event-driven simulation of a gate netlist with one delay per input pin and output edge.
// Inertial: a change that its gate would undo before it reaches the output never happens.
// Times are whole picoseconds, and never reach WHEEL within a cycle.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int PINS = 4;              // inputs of a gate
constexpr int WHEEL = 1 << 16;       // picoseconds of a cycle that can be told apart

struct Sink { int gate, pin; };
struct Event { int gate; uint32_t stamp; };

struct Memory {
    int width, depth;
    struct Read { int enable; std::vector<int> address, data; };
    struct Write { std::vector<int> enable, address, data; };
    std::vector<Read> reads;
    std::vector<Write> writes;
    std::vector<uint8_t> cells;
    std::vector<int64_t> counts;     // accesses of each read port, then of each write port
};

struct Simulator {
    int nets = 0, gates = 0, ffs = 0, domains = 0;
    // Gates: one output each (a cell with two outputs is two gates).
    std::vector<int> inputs, out, delay;         // [gate][PINS], [gate], [gate][PINS][fall, rise]
    std::vector<uint32_t> table;                 // truth table
    std::vector<uint8_t> row, pending, target;   // inputs as they are; an event is under way
    std::vector<uint32_t> stamp;
    std::vector<int> first;                      // sinks of net n: first[n] .. first[n + 1]
    std::vector<Sink> sinks;
    // Flip-flops and clock gates.
    std::vector<int> d, q, domain, enable, q_delay;      // q_delay: [ff][fall, rise]
    std::vector<Memory> memories;
    int memory_delay = 0;
    // State and counts.
    std::vector<uint8_t> value, before, touched;
    std::vector<int> changed;
    std::vector<int64_t> arcs;                   // [gate][PINS][fall, rise]
    std::vector<int64_t> toggles, settled;       // [net][fall, rise]; [net] between cycles' ends
    std::vector<int64_t> clocks;                 // [domain]
    std::vector<int64_t> q_toggles;              // [ff][fall, rise]
    int64_t cycles = 0, events = 0;
    int latest = 0;                              // last event after an edge, of all cycles
    // Wheel of events. A negative gate is a net that a register or port drives: ~net, stamp = value.
    std::vector<std::vector<Event>> wheel;
    std::vector<uint64_t> used;

    void post(int at, Event event) {
        if (at >= WHEEL) at = WHEEL - 1;
        wheel[at].push_back(event);
        used[at >> 6] |= 1ull << (at & 63);
    }

    void drive(int net, int now, bool to, int time) {
        if (value[net] == to) return;
        value[net] = to;
        toggles[2 * net + to]++;
        if (!touched[net]) { touched[net] = 1; before[net] = !to; changed.push_back(net); }
        events++;
        (void)now;
        for (int i = first[net]; i < first[net + 1]; i++) {
            int gate = sinks[i].gate, pin = sinks[i].pin;
            row[gate] ^= 1 << pin;
            bool result = table[gate] >> row[gate] & 1;
            if (pending[gate]) {
                if (result == target[gate]) continue;
                pending[gate] = 0;               // undone before it got out
                stamp[gate]++;
            }
            if (result == value[out[gate]]) continue;
            pending[gate] = 1;
            target[gate] = result;
            stamp[gate]++;
            post(time + delay[(gate * PINS + pin) * 2 + result],
                 {gate, stamp[gate] << 3 | static_cast<uint32_t>(pin)});
        }
    }

    void settle() {
        for (int word = 0; word < WHEEL / 64; word++) {
            while (used[word]) {
                int at = word * 64 + __builtin_ctzll(used[word]);
                // Events of no delay land in this bucket while it is worked through.
                for (size_t i = 0; i < wheel[at].size(); i++) {
                    Event event = wheel[at][i];
                    if (event.gate < 0) {
                        drive(~event.gate, at, event.stamp, at);
                    } else if (pending[event.gate] && (stamp[event.gate] << 3) ==
                               (event.stamp & ~7u)) {
                        int gate = event.gate, pin = event.stamp & 7;
                        pending[gate] = 0;
                        arcs[(gate * PINS + pin) * 2 + target[gate]]++;
                        drive(out[gate], at, target[gate], at);
                        if (at > latest) latest = at;
                    }
                }
                wheel[at].clear();
                used[word] &= ~(1ull << (at & 63));
            }
        }
        for (int net : changed) {
            if (value[net] != before[net]) settled[net]++;
            touched[net] = 0;
        }
        changed.clear();
    }

    int number(const std::vector<int>& bits) const {
        int result = 0;
        for (size_t i = 0; i < bits.size(); i++) result |= value[bits[i]] << i;
        return result;
    }

    void edge() {
        cycles++;
        std::vector<uint8_t> open(domains, 1);
        for (int i = 1; i < domains; i++) open[i] = value[enable[i]];
        for (int i = 0; i < domains; i++) clocks[i] += open[i];
        for (int i = 0; i < ffs; i++) {
            if (!open[domain[i]] || value[d[i]] == value[q[i]]) continue;
            bool to = value[d[i]];
            q_toggles[2 * i + to]++;
            post(q_delay[2 * i + to], {~q[i], to});
        }
        for (auto& memory : memories) {
            size_t port = 0;
            for (auto& read : memory.reads) {
                if (value[read.enable]) {
                    memory.counts[port]++;
                    int at = number(read.address);
                    for (int bit = 0; bit < memory.width; bit++) {
                        bool to = at < memory.depth && memory.cells[size_t(at) * memory.width + bit];
                        if (read.data[bit] > 1 && to != value[read.data[bit]])
                            post(memory_delay, {~read.data[bit], to});
                    }
                }
                port++;
            }
            for (auto& write : memory.writes) {
                int at = number(write.address), written = 0;
                for (int bit = 0; bit < memory.width; bit++) {
                    if (!value[write.enable[bit]]) continue;
                    written = 1;
                    if (at < memory.depth)
                        memory.cells[size_t(at) * memory.width + bit] = value[write.data[bit]];
                }
                memory.counts[port++] += written;
            }
        }
    }
};

std::vector<int> ints(const int* from, int64_t count) { return {from, from + count}; }

}  // namespace

extern "C" {

Simulator* sim_new(int nets, int gates, const int* inputs, const int* out, const uint32_t* table,
                   const int* delay, int ffs, const int* d, const int* q, const int* domain,
                   const int* q_delay, const uint8_t* init, int domains, const int* enable,
                   int memory_delay) {
    auto* sim = new Simulator;
    sim->nets = nets; sim->gates = gates; sim->ffs = ffs; sim->domains = domains;
    sim->inputs = ints(inputs, int64_t(gates) * PINS);
    sim->out = ints(out, gates);
    sim->table.assign(table, table + gates);
    sim->delay = ints(delay, int64_t(gates) * PINS * 2);
    sim->row.assign(gates, 0); sim->pending.assign(gates, 0); sim->target.assign(gates, 0);
    sim->stamp.assign(gates, 0);
    sim->first.assign(nets + 1, 0);
    for (int i = 0; i < gates * PINS; i++) if (inputs[i] >= 0) sim->first[inputs[i] + 1]++;
    for (int i = 0; i < nets; i++) sim->first[i + 1] += sim->first[i];
    sim->sinks.resize(sim->first[nets]);
    std::vector<int> fill(sim->first.begin(), sim->first.end() - 1);
    for (int i = 0; i < gates * PINS; i++)
        if (inputs[i] >= 0) sim->sinks[fill[inputs[i]]++] = {i / PINS, i % PINS};
    sim->d = ints(d, ffs); sim->q = ints(q, ffs); sim->domain = ints(domain, ffs);
    sim->q_delay = ints(q_delay, int64_t(ffs) * 2);
    sim->enable = ints(enable, domains);
    sim->memory_delay = memory_delay;
    sim->value.assign(nets, 0); sim->before.assign(nets, 0); sim->touched.assign(nets, 0);
    sim->arcs.assign(size_t(gates) * PINS * 2, 0);
    sim->toggles.assign(size_t(nets) * 2, 0); sim->settled.assign(nets, 0);
    sim->clocks.assign(domains, 0); sim->q_toggles.assign(size_t(ffs) * 2, 0);
    sim->wheel.resize(WHEEL); sim->used.assign(WHEEL / 64, 0);
    // Power-up: every gate finds its value, without delay and uncounted; events go round and
    // round until nothing changes (there are no loops).
    for (int gate = 0; gate < gates; gate++)
        if (sim->table[gate] & 1) {
            sim->pending[gate] = 1; sim->target[gate] = 1; sim->stamp[gate] = 1;
            sim->post(0, {gate, 1u << 3});
        }
    sim->post(0, {~1, 1});
    for (int i = 0; i < ffs; i++) if (init[i]) sim->post(0, {~q[i], 1});
    sim->settle();
    std::fill(sim->arcs.begin(), sim->arcs.end(), 0);
    std::fill(sim->toggles.begin(), sim->toggles.end(), 0);
    std::fill(sim->settled.begin(), sim->settled.end(), 0);
    sim->events = 0; sim->latest = 0;
    return sim;
}

void sim_free(Simulator* sim) { delete sim; }

// ports: reads, writes; nets: for each read enable, address, data; for each write enables, address,
// data.
void sim_memory(Simulator* sim, int width, int depth, int address, int reads, int writes,
                const int* nets) {
    Memory memory;
    memory.width = width; memory.depth = depth;
    for (int i = 0; i < reads; i++) {
        Memory::Read port;
        port.enable = *nets++;
        port.address = ints(nets, address); nets += address;
        port.data = ints(nets, width); nets += width;
        memory.reads.push_back(port);
    }
    for (int i = 0; i < writes; i++) {
        Memory::Write port;
        port.enable = ints(nets, width); nets += width;
        port.address = ints(nets, address); nets += address;
        port.data = ints(nets, width); nets += width;
        memory.writes.push_back(port);
    }
    memory.cells.assign(size_t(width) * depth, 0);
    memory.counts.assign(reads + writes, 0);
    sim->memories.push_back(memory);
}

void sim_set(Simulator* sim, int count, const int* nets, const uint8_t* values, int at) {
    for (int i = 0; i < count; i++)
        if (values[i] != sim->value[nets[i]]) sim->post(at, {~nets[i], values[i]});
}

void sim_edge(Simulator* sim) { sim->edge(); }
void sim_settle(Simulator* sim) { sim->settle(); }

void sim_get(const Simulator* sim, int count, const int* nets, uint8_t* values) {
    for (int i = 0; i < count; i++) values[i] = sim->value[nets[i]];
}

// Counts so far, each array as large as its comment at Simulator says.
void sim_counts(const Simulator* sim, int64_t* arcs, int64_t* toggles, int64_t* settled,
                int64_t* clocks, int64_t* q_toggles, int64_t* memory, int64_t* totals) {
    auto copy = [](const std::vector<int64_t>& from, int64_t* to) {
        std::memcpy(to, from.data(), from.size() * sizeof(int64_t));
    };
    copy(sim->arcs, arcs); copy(sim->toggles, toggles); copy(sim->settled, settled);
    copy(sim->clocks, clocks); copy(sim->q_toggles, q_toggles);
    for (auto& one : sim->memories) { copy(one.counts, memory); memory += one.counts.size(); }
    totals[0] = sim->cycles; totals[1] = sim->events; totals[2] = sim->latest;
}

}  // extern "C"
