#!/bin/bash
# Extraction as a job array, without a scheduler of our own: each job extracts every n-th block.
#
#     sbatch --array=1-20 array.sh --dataset TAU2021 --root /work/TAU2021 --out /work/store
#     avsc-prep close /work/store          # when all jobs have ended
#
# Jobs can be resubmitted, one or all: each extracts only what is missing of its share.
#SBATCH --job-name=avsc-part
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --output=avsc-part-%a.out

exec avsc-prep extract --workers "${SLURM_CPUS_PER_TASK:-1}" \
    --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$@"
