/** The script of the thread that decodes and encodes pictures. */
import { parentPort } from 'node:worker_threads';
import { InputError, PentimentoError } from '../core/errors.ts';
import { encodePng, readImage } from './images.ts';
import type { PictureAnswer, PictureOrder } from './picture-thread.ts';

parentPort?.on('message', (order: PictureOrder) => {
  answer(order).then(
    told => parentPort?.postMessage(told, transferred(told)),
    (cause: unknown) => {
      const name = 'name' in order ? order.name : '';
      const error =
        cause instanceof PentimentoError ? cause : new InputError({ op: 'readImage', problem: String(cause) });
      const json = error.toJSON();
      parentPort?.postMessage({ id: order.id, error: { ...json, path: json.path ?? name } } satisfies PictureAnswer);
    },
  );
});

async function answer(order: PictureOrder): Promise<PictureAnswer> {
  if ('encode' in order) return { id: order.id, bytes: encodePng(order.encode) };
  const warnings: string[] = [];
  const image = await readImage(order.decode, { onWarning: line => warnings.push(line) });
  return { id: order.id, image, warnings };
}

/** Memory that goes over without a copy: all of an array's own. */
function transferred({ image, bytes }: PictureAnswer): ArrayBuffer[] {
  const arrays = [image?.data, bytes].filter(array => array !== undefined);
  return arrays.flatMap(({ buffer, byteLength }) =>
    buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [],
  );
}
