import { expect, test } from 'vitest';
import { freshGpu } from '../support/gpu.ts';

test('a device that is disposed while files are read into its memory goes with the last of them', async () => {
  const gpu = await freshGpu();
  const { device } = gpu;
  let destroyed = 0;
  const destroy = device.destroy.bind(device);
  device.destroy = () => {
    destroyed++;
    return destroy();
  };
  const ends: ((error?: Error) => void)[] = [];
  const work = () =>
    gpu.keptFor(() => new Promise<void>((resolve, reject) => ends.push(error => (error ? reject(error) : resolve()))));
  const [one, two] = [work(), work()];
  ends[0]?.();
  await one;
  expect(destroyed).toBe(0); // nobody has disposed it
  gpu.dispose();
  expect(() => gpu.check('test')).toThrow('the device was disposed');
  expect(destroyed).toBe(0);
  ends[1]?.(new Error('the file is cut short'));
  await expect(two).rejects.toThrow('the file is cut short');
  expect(destroyed).toBe(1);
  gpu.dispose();
  expect(destroyed).toBe(1);
});
