/** Rows of matrices on the host, as matrix units read them: one tap of a kernel behind another, each padded to K. */
import { describe, expect, it } from 'vitest';
import { fillRows } from '../../src/tensor/host-pack.ts';

describe('fillRows', () => {
  /** [outputs][inputs][taps] counted from 1, by plain loops as [outputs][taps][k]. */
  function rows(outputs: number, inputs: number, taps: number, k: number) {
    const source = Uint16Array.from({ length: outputs * inputs * taps }, (_, i) => i + 1);
    const wanted = new Uint16Array((outputs + 1) * taps * k);
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++)
        for (let t = 0; t < taps; t++) wanted[(o * taps + t) * k + i] = source[(o * inputs + i) * taps + t];
    const places = Int32Array.from({ length: inputs * taps }, (_, e) => (e % taps) * k + Math.floor(e / taps));
    const starts = Int32Array.from({ length: outputs + 1 }, (_, o) => (o < outputs ? o * inputs * taps : -1));
    return { source, wanted, fill: { starts, places, pitch: taps * k, taps } };
  }

  it.each([
    [3, 8, 1, 8],
    [3, 5, 1, 8],
    [2, 8, 9, 8],
    [2, 3, 9, 8],
    [2, 16, 4, 16],
  ])('%i rows of %i inputs and %i taps, padded to %i, zeros behind the last', (outputs, inputs, taps, k) => {
    const { source, wanted, fill } = rows(outputs, inputs, taps, k);
    const target = new Uint16Array(wanted.length).fill(7);
    fillRows(source, fill, target);
    expect([...target]).toEqual([...wanted]);
  });

  it('spreads heads over their padded width, tap by tap', () => {
    const places = Int32Array.from([0, 1, 4, 5]); // two heads of 2, each padded to 4
    const target = new Uint16Array(8).fill(7);
    fillRows(Uint16Array.of(1, 2, 3, 4), { starts: Int32Array.of(0), places, pitch: 8, taps: 1 }, target);
    expect([...target]).toEqual([1, 2, 0, 0, 3, 4, 0, 0]);
  });
});
