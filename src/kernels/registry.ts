/**
 * The ops that exist in several variants, by the names that tuning uses. Ops with one kernel need no entry: their functions are all
 * there is.
 */
import { InputError } from '../core/errors.ts';
import { ATTENTION } from './attention.ts';
import { CONV2D } from './conv2d.ts';
import { GROUP_NORM_FINALIZE } from './group-norm-finalize.ts';
import { LAYER_NORM, RMS_NORM } from './layer-norm.ts';
import { LINEAR } from './linear.ts';
import { MATMUL } from './matmul.ts';
import { CheckedTuning, nameOf, type Op, type TunedChoice, type Tuning } from './op.ts';
import { SOFTMAX } from './softmax.ts';

/** Every op that has more than one variant. */
export const OPS: readonly Op<never>[] = [
  LINEAR,
  CONV2D,
  MATMUL,
  ATTENTION,
  LAYER_NORM,
  RMS_NORM,
  GROUP_NORM_FINALIZE,
  SOFTMAX,
];

/**
 * Checks that tuning speaks of ops and variants that there are, before a plan is made with it.
 *
 * @returns the same as it is now, which no choice checks again
 * @throws InputError with the name that is unknown and those that are known, for conditions and tiles that are none, and for a condition on
 * what no choice may go by, such as how many rows stand beside each other
 */
export function checkTuning(tuning: Tuning): Tuning {
  const checked = new CheckedTuning(tuning);
  const variants = new Map(OPS.map((op): [string, string[]] => [op.name, op.variants.map(nameOf)]));
  const check = (op: string, variant: string, path: string) => {
    const known = variants.get(op);
    if (known?.includes(variant)) return;
    throw new InputError({
      op: 'checkTuning',
      problem: known ? `'${op}' has no such variant` : 'there is no such op with variants',
      expected: known ?? [...variants.keys()],
      value: known ? variant : op,
      path,
      fix: 'Correct the name.',
    });
  };
  for (const [op, variant] of Object.entries(checked.force ?? {})) check(op, variant, `tuning.force.${op}`);
  for (const [i, { op, variant, where, tiles }] of (checked.table ?? []).entries()) {
    const path = `tuning.table[${i}]`;
    check(op, variant, path);
    checkConditions(op, where, `${path}.where`);
    checkTiles(tiles, `${path}.tiles`);
  }
  return checked;
}

function checkConditions(name: string, where: TunedChoice['where'], path: string): void {
  const fields = OPS.find(op => op.name === name)?.tunedBy ?? [];
  for (const [field, condition] of Object.entries(where ?? {})) {
    if (!isCondition(condition)) {
      throw new InputError({
        op: 'checkTuning',
        problem: 'no bounds',
        expected: '[least, most], a text, true or false',
        value: condition,
        path: `${path}.${field}`,
      });
    }
    if (fields.includes(field)) continue;
    throw new InputError({
      op: 'checkTuning',
      problem: `no choice of '${name}' goes by this field`,
      expected: fields,
      value: field,
      path,
      fix: 'Leave the condition out, or name another field.',
    });
  }
}

function isCondition(condition: unknown): boolean {
  if (typeof condition === 'string' || typeof condition === 'boolean') return true;
  if (!Array.isArray(condition) || condition.length !== 2) return false;
  const [least, most] = condition as readonly unknown[];
  return typeof least === 'number' && typeof most === 'number' && least <= most;
}

function checkTiles(tiles: unknown, path: string): void {
  for (const [name, size] of Object.entries(tiles ?? {})) {
    if (Number.isSafeInteger(size) && (size as number) >= 0) continue;
    const problem = 'no size of a tile';
    throw new InputError({
      op: 'checkTuning',
      problem,
      expected: 'a whole number from 0 on',
      value: size,
      path: `${path}.${name}`,
    });
  }
}
