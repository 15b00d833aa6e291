/** Many pictures through one pipeline: order, overlap, errors and ends, with a stub in the pipeline's place. */
import { describe, expect, it } from 'vitest';
import type { RgbImage } from '../../../src/io/image.ts';
import { type EditJob, type EditManyResult, editMany } from '../../../src/pipeline/batch/edit-many.ts';
import type { Editor } from '../../../src/pipeline/batch/picture-edit.ts';
import type { RunArgs, RunOutput } from '../../../src/pipeline/diffedit/types.ts';

const SIZE = { width: 8, height: 8 };
const picture = (value: number): RgbImage => ({ ...SIZE, data: new Uint8Array(192).fill(value) });
const brightness = (image: unknown) => (image as RgbImage).data[0];

/** Every event in the order in which it came. */
class Log {
  readonly events: string[] = [];
  add(event: string): void {
    this.events.push(event);
  }
  before(first: string, second: string): boolean {
    const [a, b] = [first, second].map(event => this.events.indexOf(event));
    return a >= 0 && b >= 0 && a < b;
  }
}

const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

/** An editor whose edit of a picture takes some turns of the event loop; the result is the picture, turned. */
function editor(log: Log, work: (args: RunArgs) => void | Promise<void> = () => turns(5)): Editor {
  return {
    defaultSize: SIZE,
    vaeScaleFactor: 8,
    async run(args) {
      const value = brightness(args.image);
      log.add(`edit ${value}`);
      args.onProgress?.({ phase: 'edit', step: 0, of: 1, ms: 0, bytes: 0 });
      await work(args);
      args.signal?.throwIfAborted();
      log.add(`edited ${value}`);
      return { images: [picture(255 - value)] } as unknown as RunOutput;
    },
  };
}

const PROMPTS = { sourcePrompt: 'a', targetPrompt: 'b', seed: 0 };

function* jobs(log: Log, count: number, read = (i: number): RgbImage | Promise<RgbImage> => picture(i)) {
  try {
    for (let i = 0; i < count; i++) {
      log.add(`job ${i}`);
      yield {
        ...PROMPTS,
        data: `name ${i}`,
        image: () => {
          log.add(`read ${i}`);
          return read(i);
        },
      } satisfies EditJob;
    }
  } finally {
    log.add('jobs ended');
  }
}

async function all<J extends EditJob>(results: AsyncIterable<EditManyResult<J>>): Promise<EditManyResult<J>[]> {
  const found: EditManyResult<J>[] = [];
  for await (const result of results) found.push(result);
  return found;
}

describe('editMany', () => {
  it('yields a result a job, in their order, with the job', async () => {
    const results = await all(editMany(editor(new Log()), jobs(new Log(), 4)));
    expect(results.map(result => [result.index, result.job.data, result.error])).toEqual(
      [0, 1, 2, 3].map(i => [i, `name ${i}`, undefined]),
    );
    expect(results.map(result => result.images && brightness(result.images[0]))).toEqual([255, 254, 253, 252]);
  });

  it('reads the next picture while one is edited, and edits it while the result is looked at', async () => {
    const log = new Log();
    for await (const { index } of editMany(editor(log), jobs(log, 3))) {
      await turns(3);
      log.add(`looked at ${index}`);
      await turns(20);
    }
    for (const i of [0, 1]) {
      expect(log.before(`read ${i + 1}`, `edited ${i}`)).toBe(true);
      expect(log.before(`edit ${i + 1}`, `looked at ${i}`)).toBe(true);
    }
    // Never two edits at once.
    expect(log.events.filter(event => event.startsWith('edit'))).toEqual(
      [0, 1, 2].flatMap(i => [`edit ${i}`, `edited ${i}`]),
    );
  });

  it('asks for no more pictures than one that is edited and one behind it, however long a result is looked at', async () => {
    const log = new Log();
    for await (const { index } of editMany(editor(log), jobs(log, 6))) {
      await turns(50);
      const read = log.events.filter(event => event.startsWith('read')).length;
      expect(read).toBe(Math.min(6, index + 3)); // this one, the one that was edited meanwhile, and the next
    }
  });

  it('yields an error in place of pictures that cannot be read or edited, and goes on', async () => {
    const log = new Log();
    const wrong = new RangeError('no picture');
    const refused = new RangeError('no edit');
    const run = editor(log, args => {
      if (brightness(args.image) === 3) throw refused;
    });
    const read = (i: number) => (i === 1 ? Promise.reject(wrong) : picture(i));
    const results = await all(editMany(run, jobs(log, 5, read)));
    expect(results.map(({ error }) => error)).toEqual([undefined, wrong, undefined, refused, undefined]);
    expect(log.events).not.toContain('edit 1');
  });

  it('takes pictures and masks as they are too, and what cannot be one is an error of its job', async () => {
    const mask = { ...SIZE, data: new Uint8Array(64), channels: 1 } as const;
    const given = [
      { ...PROMPTS, image: picture(1), maskImage: () => Promise.resolve(mask) },
      { ...PROMPTS, image: 'a.png' as unknown as RgbImage },
      { ...PROMPTS, image: picture(2), size: SIZE, fit: 'stretch' as 'pad' },
    ];
    const seen: unknown[] = [];
    const run = editor(new Log(), args => void seen.push(args.maskImage));
    const [first, second, third] = await all(editMany(run, given));
    expect([first.error, seen]).toEqual([undefined, [mask]]);
    expect(String(second.error)).toMatch(/InputError|TypeError/);
    expect(String(third.error)).toContain('InputError');
  });

  it('says so where no picture came: an error there always is', async () => {
    const none = [undefined, null, () => undefined].map(image => ({ ...PROMPTS, image }) as unknown as EditJob);
    const results = await all(editMany(editor(new Log()), none));
    expect(results.map(({ error }) => String(error))).toEqual(
      Array(3).fill(expect.stringMatching(/^InputError: editMany: no picture came \(image\)/)),
    );
  });

  it('tells of the edit that runs, and of what', async () => {
    const told: unknown[] = [];
    const onProgress = (event: object, job: EditJob, index: number) => void told.push([event, job.data, index]);
    await all(editMany(editor(new Log()), jobs(new Log(), 2), { onProgress }));
    const event = { phase: 'edit', step: 0, of: 1, ms: 0, bytes: 0 };
    expect(told).toEqual([
      [event, 'name 0', 0],
      [event, 'name 1', 1],
    ]);
  });

  it('ends the edit that runs and the jobs where the loop is left', async () => {
    const log = new Log();
    for await (const { index } of editMany(editor(log), jobs(log, 9))) if (index === 1) break;
    expect(log.events).not.toContain('edited 2');
    expect(log.events.at(-1)).toBe('jobs ended');
  });

  it('ends with the reason of its signal, before, within and between edits', async () => {
    for (const when of ['before', 'within', 'between']) {
      const log = new Log();
      const controller = new AbortController();
      const reason = new RangeError(when);
      const run = editor(log, args => {
        if (when === 'within' && brightness(args.image) === 1) controller.abort(reason);
        return turns(2);
      });
      if (when === 'before') controller.abort(reason);
      const found: number[] = [];
      const loop = async () => {
        for await (const { index } of editMany(run, jobs(log, 5), { signal: controller.signal })) {
          found.push(index);
          if (when === 'between') controller.abort(reason);
        }
      };
      await expect(loop()).rejects.toBe(reason);
      expect(found).toEqual(when === 'before' ? [] : [0]);
      expect(log.events.at(-1) ?? 'jobs ended').toBe('jobs ended');
    }
  });

  it('throws what the iterator of the jobs throws, behind the results before it', async () => {
    const log = new Log();
    const wrong = new RangeError('no more jobs');
    async function* broken() {
      yield* jobs(log, 2);
      throw wrong;
    }
    const found: number[] = [];
    const loop = async () => {
      for await (const { index } of editMany(editor(log), broken())) found.push(index);
    };
    await expect(loop()).rejects.toBe(wrong);
    expect(found).toEqual([0, 1]);
  });

  it('is done at once where there are no jobs, and does nothing before it is iterated', async () => {
    const log = new Log();
    expect(await all(editMany(editor(log), []))).toEqual([]);
    const idle = editMany(editor(log), jobs(log, 2));
    await turns(5);
    expect(log.events).toEqual([]);
    await idle.return();
    expect(log.events).toEqual([]);
  });

  it.each([
    [undefined, 'editMany: these are no jobs: got undefined (jobs). Pass a list'],
    ['a.png', 'editMany: these are no jobs: got '],
    [{ image: picture(0) }, 'editMany: these are no jobs: got '],
  ])('refuses %s as jobs', async (given, message) => {
    await expect(all(editMany(editor(new Log()), given as unknown as EditJob[]))).rejects.toThrow(message);
  });

  it('refuses options that it does not know', async () => {
    const options = { onProgres: () => undefined } as object;
    await expect(all(editMany(editor(new Log()), [], options))).rejects.toThrow('Write onProgress.');
  });
});
