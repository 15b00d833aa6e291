/**
 * Imported before the library, by a page or a worker of test/package/device-loss.test.ts: keeps the device that the library gets, counts the
 * bytes of its buffers, and destroys it when a piece of work is told.
 */
let device;
let counted = new Map();
let armed;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...args) {
  device = await requestDevice.apply(this, args);
  counted = new Map();
  return device;
};
const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (wanted) {
  const buffer = createBuffer.call(this, wanted);
  if (this === device) counted.set(buffer, wanted.size);
  return buffer;
};
const { destroy } = GPUBuffer.prototype;
GPUBuffer.prototype.destroy = function () {
  counted.delete(this);
  destroy.call(this);
};

/** Bytes of the buffers of the latest device that were not destroyed. */
export const deviceBytes = () => [...counted.values()].reduce((sum, bytes) => sum + bytes, 0);

/** Destroys the device with the first event of this phase and step. */
export function arm(phase, step) {
  armed = { phase, step };
}

/** To be shown every event. */
export function told({ phase, step }) {
  if (armed?.phase !== phase || armed.step !== step) return;
  armed = undefined;
  device.destroy();
}

export const isArmed = () => armed !== undefined;
