/** What the networks of Stable Diffusion refuse before they record anything. */
import { InputError, ShapeError } from '../../core/errors.ts';
import { dim } from '../../core/shape.ts';
import type { KeyValues } from '../../nn/attention.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { UNetConfig } from './config.ts';

/**
 * Refuses maps with other channels than the network takes. Rows are padded in memory, so no layer would notice.
 * @throws ShapeError
 */
export function checkMap(op: string, x: Tensor, channels: number): void {
  if (x.shape.length === 4 && dim(x.shape, 1) === channels) return;
  const expected = `[N, ${channels}, H, W]`;
  throw new ShapeError({
    op,
    problem: 'not a map with the channels that the model takes',
    expected,
    received: x.shape,
  });
}

/**
 * Refuses latents, time features and contexts that do not belong together or to the model.
 * @throws ShapeError for shapes, InputError for a context with another number of entries
 */
export function checkUNetInputs(c: UNetConfig, sample: Tensor, time: Tensor, context: readonly KeyValues[]): void {
  const op = 'unet';
  checkMap(op, sample, c.inChannels);
  const [images, width] = [dim(sample.shape, 0), c.levels[0]?.channels];
  if (time.shape.length !== 2 || ![1, images].includes(dim(time.shape, 0)) || dim(time.shape, 1) !== width) {
    const expected = `[1, ${width}] or [${images}, ${width}]`;
    const fix = 'Make them by timestepFeatures().';
    throw new ShapeError({ op, problem: 'time features of another shape', expected, received: time.shape, fix });
  }
  const expected = c.levels.reduce((sum, l) => sum + l.layers * l.downDepth + (l.layers + 1) * l.upDepth, c.midDepth);
  if (context.length !== expected) {
    const fix = 'Make it by context() of the same model.';
    throw new InputError({ op, problem: 'wrong number of contexts', expected, received: context.length, fix });
  }
}

/**
 * Refuses text embeddings of another width than the cross-attentions read.
 * @throws ShapeError
 */
export function checkText(c: UNetConfig, text: Tensor): void {
  const widths = c.levels.filter(level => level.downDepth + level.upDepth > 0).map(level => level.contextWidth);
  const other = [...widths, c.levels.at(-1)?.contextWidth].find(width => width !== dim(text.shape, -1));
  if (text.shape.length === 3 && other === undefined) return;
  const fix = 'Use the text encoder of the same folder.';
  const expected = `[N, S, ${other}]`;
  throw new ShapeError({
    op: 'unet',
    problem: 'text embeddings of another shape',
    expected,
    received: text.shape,
    fix,
  });
}
