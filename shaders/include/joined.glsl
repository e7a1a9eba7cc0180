// A source of rows [x0 | x1] as the two group norm shaders read it. Bindings 0 and 1.
layout(binding = 0) readonly buffer X0 { AV x0[]; };
layout(binding = 1) readonly buffer X1 { AV x1[]; };

// Channel c (a multiple of WIDTH) of row `row` of all n*hw.
V load_joined(uint row, uint c) {
    return c < p.c0 ? V(x0[(row * p.c0 + c - p.x0_base) / WIDTH]) : V(x1[(row * p.c1 + c - p.c0 - p.x1_base) / WIDTH]);
}
