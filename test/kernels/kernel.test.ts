import { describe, expect, it } from 'vitest';
import { conv2d, conv2dSize } from '../../src/kernels/conv2d.ts';
import { canBroadcast, RANK } from '../../src/kernels/kernel.ts';
import { inputLib, outputLib, weightLib } from '../../src/kernels/libs.ts';
import { packWeight } from '../../src/kernels/pack-weight.ts';
import { testGpu } from '../support/gpu.ts';

const { caps } = await testGpu();

describe('the broadcast kernels', () => {
  it('need subgroups of one size from 4 to 16', () => {
    const sizes = [0, 1, 2, 4, 8, 16, 32, 64];
    expect(sizes.filter(subgroupSize => canBroadcast({ subgroupSize }))).toEqual([4, 8, 16]);
  });

  it('come first on software and last on GPUs', () => {
    expect(RANK.broadcast({ software: true })).toBeLessThan(RANK.tile());
    expect(RANK.broadcast({ software: false })).toBeGreaterThan(RANK.tile());
  });
});

describe('kernels refuse', () => {
  it('bfloat16 for what they compute, and keep it for weights that have it', () => {
    expect(() => inputLib('bf16-packed')).toThrowErrorMatchingInlineSnapshot(
      `[DTypeError: input library: this role has no such storage form: expected [f32, f16, f16-packed], got bf16-packed]`,
    );
    expect(() => outputLib('bf16-packed')).toThrow('output library: this role has no such storage form');
    expect(weightLib('bf16-packed')).toContain('weight_load');
    const pack = { base: 0, rows: 8, k: 8, taps: 1, panel: 0, step: 1, panels: 1, to: 'bf16-packed' } as const;
    expect(() => packWeight({ ...pack, from: 'F32' })).toThrowErrorMatchingInlineSnapshot(
      `[DTypeError: packWeight: only BF16 is kept as bfloat16: expected BF16, got F32]`,
    );
    expect(packWeight({ ...pack, from: 'BF16' }).values['TARGET']).toBe(2);
  });

  it('a convolution that is larger than its picture, to the pixel', () => {
    const side = (size: number, pad: number, kernel: number) =>
      conv2dSize({
        ...{ height: size, width: size, kernel: [kernel, kernel], stride: 2 },
        padding: { top: pad, left: pad, bottom: pad, right: pad },
      });
    expect(side(3, 1, 5)).toEqual([1, 1]);
    expect(() => side(2, 1, 5)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: conv2d: the kernel is larger than the padded input: expected at least 5 x 5, got [2, 2]. Use a larger picture.]`,
    );
    const storage = { input: 'f32', weight: 'f32', output: 'f32' } as const;
    const padding = { top: 0, left: 0, bottom: 0, right: 0 };
    const problem = { images: 1, height: 4, width: 2, channels: 8, outChannels: 8, stride: 1, padding, ...storage };
    expect(() => conv2d(caps, { ...problem, kernel: [3, 3] })).toThrow('conv2d: the kernel is larger');
  });
});
