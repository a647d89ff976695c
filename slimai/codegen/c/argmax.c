/* The index of the largest integer along one axis. */

/*@ kernel argmax x_t */
/* x [outer][depth][inner]; `last` chooses the last of equals. */
void argmax(const x_t *x, int32_t outer, int32_t depth, int32_t inner, int32_t last, int64_t *y)
{
    int32_t i, k, d;
    for (i = 0; i < outer; i++) {
        for (k = 0; k < inner; k++) {
            const x_t *in = x + i * depth * inner + k;
            int32_t best = 0;
            for (d = 1; d < depth; d++) {
                if (in[d * inner] > in[best * inner] || (last != 0 && in[d * inner] == in[best * inner])) {
                    best = d;
                }
            }
            y[i * inner + k] = best;
        }
    }
}
