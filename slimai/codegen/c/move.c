/* Elements that are only moved. */

/*@ kernel copy x_t */
/* Side a is read, side b is written. */
void copy(const x_t *x, const nest *n, x_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const x_t *from = x + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        x_t *to = y + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        if (n->a[5] == 1 && n->b[5] == 1) {
                            memcpy(to, from, (size_t)n->size[5] * sizeof(x_t));
                        } else {
                            for (i5 = 0; i5 < n->size[5]; i5++) {
                                to[i5 * n->b[5]] = from[i5 * n->a[5]];
                            }
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel fill x_t */
void fill(x_t *y, int32_t count, int32_t value)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = (x_t)value;
    }
}

/*@ kernel gather x_t */
/* y [size 0][size 1][size 2][size 3]: along each axis a list of places in x, already times the stride. */
void gather(const x_t *x, const int32_t size[4], const int32_t *p0, const int32_t *p1, const int32_t *p2,
            const int32_t *p3, x_t *y)
{
    int32_t i0, i1, i2, i3;
    for (i0 = 0; i0 < size[0]; i0++) {
        for (i1 = 0; i1 < size[1]; i1++) {
            for (i2 = 0; i2 < size[2]; i2++) {
                const x_t *from = x + p0[i0] + p1[i1] + p2[i2];
                for (i3 = 0; i3 < size[3]; i3++) {
                    *y++ = from[p3[i3]];
                }
            }
        }
    }
}

/*@ kernel scatter x_t */
/* Runs of `run` elements of x go to the places `to` of y and on by `step`; later ones win. */
void scatter(const x_t *x, int32_t count, const int32_t *to, int32_t run, int32_t step, x_t *y)
{
    int32_t i, k;
    for (i = 0; i < count; i++) {
        for (k = 0; k < run; k++) {
            y[to[i] + k * step] = *x++;
        }
    }
}

/*@ kernel copy_listed x_t */
/* Elements that no loops reach: from place to place. */
void copy_listed(const x_t *x, int32_t count, const int32_t *from, const int32_t *to, x_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[to[i]] = x[from[i]];
    }
}
