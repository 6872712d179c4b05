// Threads of a block as fibers of one thread of the operating system.
//
// A fiber has a stack and the registers that a call preserves. Switching takes a few nanoseconds, so that a block of
// 256 threads with hundreds of barriers can be run in tests. Other processors than x86-64 and AArch64 use ucontext.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "sanitizers.h"

#if !(defined(__x86_64__) || defined(__aarch64__)) || defined(_WIN32)
#define EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

#ifdef EMULATOR_UCONTEXT
using Context = ucontext_t;
EMULATOR_INLINE void switch_context(Context* from, Context* to) { swapcontext(from, to); }
#else
using Context = void*;  // the stack pointer; the registers lie on the stack
#define EMULATOR_NAME2(x) #x
#define EMULATOR_NAME(x) EMULATOR_NAME2(x)
// By this name, and not with the underscore that some systems put before it.
extern "C" void EMULATOR_SWITCH(Context* from, Context* to) asm(EMULATOR_NAME(EMULATOR_SWITCH));
#if defined(__x86_64__)
asm(".text\n.p2align 4\n" EMULATOR_NAME(EMULATOR_SWITCH) ":\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq (%rsi), %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nretq\n");
#else
asm(".text\n.p2align 4\n" EMULATOR_NAME(EMULATOR_SWITCH) ":\n"
    "sub sp, sp, #160\nstp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
    "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nldr x9, [x1]\nmov sp, x9\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
    "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n");
#endif
EMULATOR_INLINE void switch_context(Context* from, Context* to) { EMULATOR_SWITCH(from, to); }
#endif

// Runs `entry` on a stack of its own, as far as the next `suspend`.
class Fiber {
  public:
    static constexpr size_t STACK = 256 << 10;

    Fiber() : stack(static_cast<char*>(std::malloc(STACK))) {}
    Fiber(const Fiber&) = delete;
    ~Fiber() { std::free(stack); }

    // The next `resume` calls `entry`, which must not return: it ends in `suspend`.
    void start(void (*entry)()) {
        watch.start(stack, STACK);
#ifdef EMULATOR_UCONTEXT
        getcontext(&own);
        own.uc_stack.ss_sp = stack;
        own.uc_stack.ss_size = STACK;
        own.uc_link = nullptr;
        makecontext(&own, entry, 0);
#elif defined(__x86_64__)
        auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + STACK) & ~uintptr_t(15));
        *--top = nullptr;  // the return address of `entry`, for the alignment that a call leaves
        *--top = reinterpret_cast<void*>(entry);
        for (int i = 0; i < 6; ++i) *--top = nullptr;
        own = top;
#else
        auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + STACK) & ~uintptr_t(15));
        top -= 20;
        for (int i = 0; i < 20; ++i) top[i] = nullptr;
        top[11] = reinterpret_cast<void*>(entry);  // x30, where `ret` goes
        own = top;
#endif
    }

    // Called by the scheduler.
    void resume() {
        watch.leaves_home();
        switch_context(&home, &own);
        watch.is_home();
    }

    // Called by the fiber.
    void suspend() {
        watch.leaves_fiber();
        switch_context(&own, &home);
        watch.is_back();
    }

    // Called by the fiber, first of all.
    void entered() { watch.entered(); }

  private:
    char* stack;
    Context own{}, home{};
    Watch watch;
};

}  // namespace emulator
