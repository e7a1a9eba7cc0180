// Long sums: Kahan's compensated summation (1965), whose error does not grow with the number of terms. Start from EMPTY_SUM.
#ifndef SUM_GLSL
#define SUM_GLSL

struct Sum {
    float total, excess; // `excess` is what `total` has too much
};
#define EMPTY_SUM Sum(0.0, 0.0)

void add(inout Sum sum, float value) {
    precise float corrected = value - sum.excess;
    precise float total = sum.total + corrected;
    precise float excess = (total - sum.total) - corrected;
    sum = Sum(total, excess);
}
#endif
