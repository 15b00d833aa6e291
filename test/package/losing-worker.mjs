/** A worker of the library's own script whose device test/package/device-loss-page.mjs can take away. */
import { arm, deviceBytes, isArmed, told } from './watched-device.mjs';
import '/dist/worker-entry.js';

const { postMessage } = globalThis;
globalThis.postMessage = (message, options) => {
  const event = message?.is === 'call' ? message.args?.[0] : undefined;
  if (event?.phase !== undefined && event.step !== undefined) told(event);
  postMessage(message, options);
};

addEventListener('message', ({ data }) => {
  if (data.arm) arm(...data.arm);
  if (data.ask) postMessage({ answer: data.ask, deviceBytes: deviceBytes(), armed: isArmed() });
});
