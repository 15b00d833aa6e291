import { expect, it, vi } from 'vitest';
import { specialize } from '../../src/gpu/specialize.ts';

const side = { pitch: 8, storage: 'f32' } as const;

it('a text is made once a pipeline, however many dispatches and lists run it', async () => {
  // Anew, because modules that other files of this process have loaded are not mocked.
  vi.resetModules();
  const made = vi.fn(specialize);
  vi.doMock('../../src/gpu/specialize.ts', async original => ({ ...(await original<object>()), specialize: made }));
  const { DispatchList } = await import('../../src/kernels/dispatch.ts');
  const { elementwiseBinary } = await import('../../src/kernels/elementwise-binary.ts');
  const { elementwiseUnary } = await import('../../src/kernels/elementwise-unary.ts');
  const { createStorage, readSlice } = await import('../../src/gpu/buffer.ts');
  const { freshGpu } = await import('../support/gpu.ts');
  const gpu = await freshGpu();
  const b = { ...side, broadcast: { rows: 1 } };
  const sum = (rows: number) => elementwiseBinary({ operation: 'add', rows, width: 8, a: side, b, y: side });
  const [x, y, z] = ['x', 'y', 'z'].map(name => createStorage(gpu, 4096, name));
  for (let list = 0; list < 2; list++) {
    const dispatches = new DispatchList(gpu);
    for (let i = 2; i <= 10; i++) {
      dispatches.add(elementwiseUnary({ rows: i, width: 8, x: side, y: side, beta: i }), { x, y });
      dispatches.add(elementwiseUnary({ rows: i, width: 8, x: side, y: side, function: 'exp' }), { x, y });
      dispatches.add(sum(i), { a: x, b: y, y: z });
    }
    await dispatches.build();
    dispatches.submit();
    await gpu.idle();
    dispatches.dispose();
  }
  expect(made.mock.calls.map(([kernel]) => kernel)).toEqual([
    ...['elementwise-unary', 'elementwise-unary', 'elementwise-binary'],
  ]);
  expect(gpu.pipelines.size).toBe(3);
  expect((await readSlice(gpu, y)).byteLength).toBe(4096);
  gpu.dispose();
  vi.doUnmock('../../src/gpu/specialize.ts');
  vi.resetModules();
});
