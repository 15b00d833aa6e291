import { expect, test, vi } from 'vitest';
import { createStorage } from '../../src/gpu/buffer.ts';
import { destroyBuffer } from '../../src/gpu/held-memory.ts';
import { freshGpu } from '../support/gpu.ts';

test('memory of large buffers that were destroyed is given back by one submission, and small ones are not worth any', async () => {
  const gpu = await freshGpu();
  const submit = vi.spyOn(gpu.device.queue, 'submit');
  const comeAndGo = (megabytes: number) => destroyBuffer(createStorage(gpu, megabytes * 2 ** 20, 'passing').buffer);
  comeAndGo(1);
  await gpu.reclaim();
  expect(submit).not.toHaveBeenCalled();
  for (let i = 0; i < 3; i++) comeAndGo(8);
  await gpu.reclaim();
  expect(submit.mock.calls).toEqual([[[]]]);
  await gpu.reclaim();
  expect(submit).toHaveBeenCalledOnce();
  gpu.dispose();
});
