"""Fidelity of world models: how true, steady and obedient what they show is. No downloaded judge, classical geometry alone.

subject      a scene at a size and, behind a synthetic one, the world that knows the truth
clips        takes (what is to be shown), clips (what was), and who films: models, true renders, wrong ones
takes        the small stories of camera and time that are filmed
images       PSNR and SSIM over all, covered and disoccluded pixels
camera       poses recovered from frames; rotation and translation error, camera control
consistency  3D reprojection, photometric consistency
flow         dense optical flow
motion       magnitude, error, acceleration
temporal     pause, reverse, half speed
memory       revisit, persistence under time, permanence behind an occluder
drift        a rollout of hundreds of blocks
metrics      every figure's name, unit and direction
measure      all of them at once
record       a scene's figures on disk
pictures     contact sheets and plots
report       the page that says what came of it
command      `inspatio-gym evaluate-world`
"""
