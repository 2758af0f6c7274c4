"""`inspatio-gym render`: videos and a camera path in, films of new views out.

    config     what can be asked for
    plan       which source frame each frame of the film shows, and from which camera
    pictures   the pictures beside the prediction, and the files that they are written to
    job        one video with one seed: scene, plan, model, four films and a record
    farm       many of them: in this process, or in Ray actors
    command    what the command line runs

A world model is driven through the protocol of `inspatio_gym.world` alone, block by block, and frames go straight to the
encoders, so memory does not grow with the length of a film.
"""
