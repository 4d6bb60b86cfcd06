// One machine in a tight loop: feeds input beats, takes output beats, stalls both on request.
// Knows nothing of what the beats hold: payloads are the ports' bytes, as sim/native.py packs them.

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vspinteger.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr size_t IN_BYTES = sizeof(Vspinteger::input___05Fpayload);
constexpr size_t OUT_BYTES = sizeof(Vspinteger::output___05Fpayload);

// Bursts of go and bursts of wait, as tb/streams.py: `rate` in 1/2^32, chosen anew with
// probability 0.4 a cycle.
struct Stalls {
    uint64_t state = 1;
    uint64_t rate = 0;
    bool stalled = false;

    uint32_t random() {     // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return static_cast<uint32_t>((state * 0x2545F4914F6CDD1Dull) >> 32);
    }
    bool operator()() {
        if (rate == 0) return false;
        if (random() < 0x66666666u) stalled = random() < rate;
        return stalled;
    }
};

struct Machine {
    VerilatedContext context;
    Vspinteger top{&context};
    uint64_t cycles = 0;

    const uint8_t* beats = nullptr;     // to feed, kept alive by the caller
    uint64_t count = 0, next = 0;
    bool offered = false;
    uint64_t every = 1, since = 0;      // an input beat at most every so many cycles
    Stalls in_stalls, out_stalls;

    std::vector<uint8_t> out;           // beats taken, OUT_BYTES each
    uint64_t packet = 0;                // where the current output packet starts in `out`
    size_t last_byte = 0;
    uint8_t last_mask = 0;
    std::vector<uint8_t> end;           // the output packet that ends a program
    bool ended = false;
    uint64_t quiet = 0;                 // cycles since a beat went in or out

#if VM_TRACE
    VerilatedVcdC trace;
#endif

    void eval() {
        top.eval();
#if VM_TRACE
        if (trace.isOpen()) trace.dump(context.time());
        context.timeInc(5);
#endif
    }

    void cycle(bool take) {
        ++since;
        if (!offered && next < count && since >= every && !in_stalls()) {
            std::memcpy(&top.input___05Fpayload, beats + next * IN_BYTES, IN_BYTES);
            top.input___05Fvalid = 1;
            offered = true;
            since = 0;
        }
        take = take && !out_stalls();
        top.output___05Fready = take;
        top.clk = 0;
        eval();
        const bool sent = offered && top.input___05Fready;
        const bool got = take && top.output___05Fvalid;
        if (got) received();
        top.clk = 1;
        eval();
        if (sent) {
            ++next;
            offered = false;
            top.input___05Fvalid = 0;
        }
        ++cycles;
        quiet = sent || got ? 0 : quiet + 1;
    }

    void received() {
        const size_t at = out.size();
        out.resize(at + OUT_BYTES);
        std::memcpy(out.data() + at, &top.output___05Fpayload, OUT_BYTES);
        if (!(out[at + last_byte] & last_mask)) return;
        ended = !end.empty() && out.size() - packet == end.size()
            && std::memcmp(out.data() + packet, end.data(), end.size()) == 0;
        packet = out.size();
    }

    void reset() {
        top.rst = 1;
        top.input___05Fvalid = 0;
        top.reg_write = 0;
        offered = false;
        beats = nullptr;
        count = next = 0;
        for (int i = 0; i < 4; ++i) cycle(false);
        top.rst = 0;
        since = cycles = quiet = packet = 0;
        out.clear();
        ended = false;
    }
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API uint64_t spinteger_in_bytes() { return IN_BYTES; }
API uint64_t spinteger_out_bytes() { return OUT_BYTES; }

API Machine* spinteger_create(uint64_t last_bit, const char* vcd) {
    Machine* machine = new Machine;
    machine->last_byte = last_bit / 8;
    machine->last_mask = static_cast<uint8_t>(1u << (last_bit % 8));
#if VM_TRACE
    if (vcd) {
        machine->context.traceEverOn(true);
        machine->top.trace(&machine->trace, 99);
        machine->trace.open(vcd);
    }
#else
    (void)vcd;
#endif
    return machine;
}

API void spinteger_destroy(Machine* machine) {
#if VM_TRACE
    machine->trace.close();
#endif
    machine->top.final();
    delete machine;
}

API void spinteger_reset(Machine* machine) { machine->reset(); }

// Stall rates in 1/2^32; an input beat at most every `every` cycles.
API void spinteger_throttle(Machine* machine, uint64_t seed, uint64_t in_rate, uint64_t out_rate,
                            uint64_t every) {
    machine->in_stalls = Stalls{2 * seed + 1, in_rate};
    machine->out_stalls = Stalls{(2 * seed + 1) * 0x9E3779B97F4A7C15ull, out_rate};
    machine->every = every;
}

// What to feed next, `count` beats of IN_BYTES, and the output packet at which `run` ends.
API void spinteger_feed(Machine* machine, const uint8_t* beats, uint64_t count, const uint8_t* end,
                        uint64_t end_bytes) {
    machine->beats = beats;
    machine->count = count;
    machine->next = 0;
    machine->end.assign(end, end + end_bytes);
    machine->ended = false;
}

// At most `limit` cycles. 1: the end packet came; 2: no beat moved for `quiet` cycles; 0: go on.
API int spinteger_run(Machine* machine, uint64_t limit, uint64_t quiet) {
    Machine& m = *machine;
    while (limit-- && !m.ended && m.quiet < quiet) m.cycle(true);
    return m.ended ? 1 : m.quiet >= quiet ? 2 : 0;
}

API uint64_t spinteger_cycles(const Machine* machine) { return machine->cycles; }
API uint64_t spinteger_fed(const Machine* machine) { return machine->next; }

// The output beats so far; valid until the next call.
API const uint8_t* spinteger_output(const Machine* machine, uint64_t* beats) {
    *beats = machine->out.size() / OUT_BYTES;
    return machine->out.data();
}

API uint32_t spinteger_read(Machine* machine, uint32_t address) {
    machine->top.reg_addr = static_cast<decltype(machine->top.reg_addr + 0)>(address);
    machine->cycle(false);
    machine->cycle(false);
    return machine->top.reg_rdata;
}

API void spinteger_write(Machine* machine, uint32_t address, uint32_t value) {
    machine->top.reg_addr = static_cast<decltype(machine->top.reg_addr + 0)>(address);
    machine->top.reg_wdata = value;
    machine->top.reg_write = 1;
    machine->cycle(false);
    machine->top.reg_write = 0;
}
