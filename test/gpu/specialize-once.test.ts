/** How often a text is made from a kernel's file and its constants. */
import { describe, expect, it, vi } from 'vitest';
import { createStorage, readSlice } from '../../src/gpu/buffer.ts';
import { DispatchList } from '../../src/kernels/dispatch.ts';
import { elementwiseBinary } from '../../src/kernels/elementwise-binary.ts';
import { elementwiseUnary } from '../../src/kernels/elementwise-unary.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { freshGpu } from '../support/gpu.ts';

const side = { pitch: 8, storage: 'f32' } as const;

describe('a text is made', () => {
  it('once a pipeline, however many dispatches and lists run it', async () => {
    const gpu = await freshGpu();
    const b = { ...side, broadcast: { rows: 1 } };
    const sum = (rows: number) => elementwiseBinary({ operation: 'add', rows, width: 8, a: side, b, y: side });
    const [x, y, z] = ['x', 'y', 'z'].map(name => createStorage(gpu, 4096, name));
    const made = vi.spyOn(gpu.pipelines, 'get');
    // The names of a call's values are read once to know its pipeline, and once more where a text is made of them.
    let readings = 0;
    const watched = (call: KernelCall): KernelCall => {
      const ownKeys = (values: KernelCall['values']) => {
        readings++;
        return Reflect.ownKeys(values);
      };
      return { ...call, values: new Proxy({ ...call.values }, { ownKeys }) };
    };
    let dispatched = 0;
    for (let list = 0; list < 2; list++) {
      const dispatches = new DispatchList(gpu);
      for (let i = 2; i <= 10; i++) {
        const shift = elementwiseUnary({ rows: i, width: 8, x: side, y: side, beta: i });
        const exp = elementwiseUnary({ rows: i, width: 8, x: side, y: side, function: 'exp' });
        for (const call of [shift, exp]) dispatches.add(watched(call), { x, y });
        dispatches.add(watched(sum(i)), { a: x, b: y, y: z });
      }
      dispatched += dispatches.length;
      await dispatches.build();
      dispatches.submit();
      await gpu.idle();
      dispatches.dispose();
    }
    expect(dispatched).toBe(54);
    const kernels = ['elementwise-unary', 'elementwise-unary', 'elementwise-binary'];
    expect(made.mock.calls.map(([kernel]) => kernel)).toEqual(kernels);
    expect(readings - dispatched).toBe(kernels.length);
    expect(gpu.pipelines.size).toBe(3);
    expect((await readSlice(gpu, y)).byteLength).toBe(4096);
    gpu.dispose();
  });
});
