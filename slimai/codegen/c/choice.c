/* One of two integers that lie on the output's grid already (docs/arithmetic.md, section 3). */

/*@ kernel larger y_t */
void larger(const y_t *a, const y_t *b, const nest *n, y_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const y_t *p = a + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        const y_t *r = b + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        for (i5 = 0; i5 < n->size[5]; i5++) {
                            const y_t u = p[i5 * n->a[5]], v = r[i5 * n->b[5]];
                            *y++ = u > v ? u : v;
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel smaller y_t */
void smaller(const y_t *a, const y_t *b, const nest *n, y_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const y_t *p = a + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        const y_t *r = b + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        for (i5 = 0; i5 < n->size[5]; i5++) {
                            const y_t u = p[i5 * n->a[5]], v = r[i5 * n->b[5]];
                            *y++ = u < v ? u : v;
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel select y_t */
/* y keeps what it holds where the mask (side b) is 0, and takes `a` elsewhere. */
void select(const y_t *a, const int8_t *mask, const nest *n, y_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const y_t *p = a + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        const int8_t *m = mask + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        for (i5 = 0; i5 < n->size[5]; i5++, y++) {
                            if (m[i5 * n->b[5]] != 0) {
                                *y = p[i5 * n->a[5]];
                            }
                        }
                    }
                }
            }
        }
    }
}
