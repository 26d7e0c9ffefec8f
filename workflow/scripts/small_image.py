"""Make the files of one small image, or take them from where somebody else's job has put them.

Started by a command, not by Snakemake's `script:`, whose preamble alone takes longer than to take what is there.
"""

import sys

if __name__ == "__main__":
    *how, folder, threads = sys.argv[1:]
    from clusterfirst.small.kept import Kept

    if not how and Kept(folder).take():
        sys.exit()
    from clusterfirst.small import work

    if how == ["--work"]:
        work.work(folder, int(threads))
    else:
        sys.exit(work.job(folder, __file__, int(threads)))
