/** webpack's own defaults; prints what it said, one thing a line. */
import process from 'node:process';
import webpack from 'webpack';

const output = { path: `${process.cwd()}/webpack` };
webpack({ mode: 'production', context: process.cwd(), entry: './app.js', output }, (error, stats) => {
  if (error) throw error;
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  for (const { message } of [...errors, ...warnings]) console.log(message.replaceAll('\n', ' '));
});
